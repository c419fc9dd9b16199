//! The target `open_image`: any bytes at all may lie where a pool should be.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pmem::sim::Memory;
use pmem::{Error, FormatOptions, Pool, ValueType, inspect};

use super::input::Input;
use super::seal::{self, SEGMENT};

/// The smallest pool there is: what precedes the first segment, eight of them, and the second superblock.
const LEN: usize = SEGMENT + 8 * SEGMENT + 4096;
/// Scans of a table in a quiet pool end after so many steps, or never.
const SCAN_STEPS: u32 = 100_000;

/// By key: the value with its expiry, or why it is not readable.
type Contents = BTreeMap<Vec<u8>, Result<(Vec<u8>, Option<u64>), Error>>;

/// Changes an image of a pool as the input says, checksums made right or not, then looks into it, opens it, uses it,
/// repairs it and opens it again. Nothing may panic or go on for ever; what the pool says it holds must be what it
/// holds after it was closed and opened; and keys that were readable before a repair are readable after it.
pub fn open_image(data: &[u8]) {
    let mut input = Input::new(data);
    let (image, forged) = changed(&mut input);
    if image.is_empty() {
        return;
    }
    let before_opening = image.clone();
    let inspection = inspect(&Memory::from(image.clone()));
    let memory = Memory::from(image);
    let mut pool = match Pool::open(&memory) {
        Ok(pool) => pool,
        Err(error) if forged => return assert!(inspection.is_err() || !matches!(error, Error::OutOfRange(_))),
        Err(error) => return refused(&error, inspection.err()),
    };
    if forged {
        return use_forged(pool);
    }
    let inspection = inspection.unwrap_or_else(|error| panic!("opened, but inspecting said: {error}"));
    // What a checkpoint counts, opening does not: of damaged records it learns when they are needed.
    if !seal::has_root(&before_opening) {
        assert_eq!(inspection.report.keys, pool.report().keys, "an inspection tells what opening finds");
    }
    let found = contents(&mut pool);

    let key = b"written by the fuzzer";
    let (put, _durable) = pool.turn(|turn| turn.put(key, &[7; 300], Some(9))).unwrap();
    let written = match put {
        Ok(()) => true,
        Err(error) => {
            usual(&error);
            false
        }
    };
    let before = contents(&mut pool);
    if written {
        assert_eq!(before.get(&key[..]), Some(&Ok((vec![7; 300], Some(9)))), "what was written is there");
    }
    for (key, value) in found.iter().filter(|(other, _)| other.as_slice() != key) {
        assert_eq!(before.get(key), Some(value), "another key changed: {}", key.escape_ascii());
    }

    pool.close().unwrap();
    let mut pool = match Pool::open(&memory) {
        Ok(pool) => pool,
        // Forged numbers were just below the last ones that count.
        Err(Error::Damaged { offset }) if offset == SEGMENT as u64 => return,
        Err(error) => panic!("closed, but not opened again: {error}"),
    };
    assert_eq!(contents(&mut pool), before, "closing and opening changes nothing");
    match pool.repair() {
        Ok(_) => assert!(pool.report().damage.is_empty(), "{:?} is left after a repair", pool.report()),
        Err(error) => usual(&error),
    }
    let after = contents(&mut pool);
    for (key, value) in before.iter().filter(|(_, value)| value.is_ok()) {
        assert_eq!(after.get(key), Some(value), "a repair changed {}", key.escape_ascii());
    }
    let (cleared, _durable) = pool.turn(|turn| turn.clear()).unwrap();
    if let Err(error) = cleared {
        usual(&error);
    }
    drop(pool);
    if let Err(error) = Pool::open(&memory) {
        assert_eq!(error, Error::Damaged { offset: SEGMENT as u64 }, "cleared, but not opened again");
    }
}

/// A checkpoint with right checksums is believed, whatever the records say: it may hide keys. But no more than that.
fn use_forged(mut pool: Pool<&Memory>) {
    for round in 0..3u8 {
        let turn = pool.turn(|turn| (turn.put(&[round], &[round; 300], None), turn.remove(b"large")));
        let errors = match turn {
            Ok(((put, removed), _durable)) => [put.err(), removed.err()],
            Err(error) => [Some(error), None],
        };
        errors.iter().flatten().for_each(usual);
    }
    contents(&mut pool);
    let memory = match pool.close() {
        Ok(memory) => memory,
        Err(error) => return usual(&error),
    };
    if let Err(error) = Pool::open(memory) {
        refused(&error, Some(error.clone()));
    }
}

/// An image that is no pool is refused for a reason, and for the same one whoever looks.
fn refused(error: &Error, inspection: Option<Error>) {
    assert!(!matches!(error, Error::OutOfRange(_) | Error::Gone | Error::ReadOnly), "{error:?}");
    // What must not be written to may still be looked into.
    let is_readable = matches!(error, Error::UnknownFeaturesToWrite { .. });
    assert!(is_readable || inspection.as_ref() == Some(error), "{error:?}, but inspecting said {inspection:?}");
}

/// An open pool may refuse, but never because it computed nonsense.
fn usual(error: &Error) {
    assert!(
        matches!(error, Error::Damaged { .. } | Error::Full | Error::IndexFull | Error::TooLarge { .. }),
        "{error:?}"
    );
}

fn contents(pool: &mut Pool<&Memory>) -> Contents {
    let mut contents = Contents::new();
    let ((), _durable) = pool
        .turn(|turn| {
            let mut keys = Vec::new();
            let mut cursor = 0;
            for step in 0.. {
                assert!(step < SCAN_STEPS, "a scan does not end");
                match turn.scan(cursor, 100, |key, _| keys.push(key.to_vec())) {
                    Ok(0) => break,
                    Ok(next) => cursor = next,
                    Err(error) => {
                        usual(&error);
                        break;
                    }
                }
            }
            for key in keys {
                let mut value = Vec::new();
                let held = match turn.get(&key, &mut value) {
                    Ok(Some(meta)) => {
                        assert_eq!(meta.len, value.len() as u64);
                        Ok((value, meta.expires_at_ms))
                    }
                    // Where a checkpoint lied about the hash. `turn.len()` and the tests of power cuts see to it
                    // otherwise.
                    Ok(None) => continue,
                    Err(error) => {
                        usual(&error);
                        Err(error)
                    }
                };
                contents.insert(key, held);
            }
        })
        .unwrap();
    contents
}

/// One of the images that are there to begin with, changed as the input says.
/// Says as well whether a checkpoint, or what it speaks of, was forged.
fn changed(input: &mut Input<'_>) -> (Vec<u8>, bool) {
    let bases = bases();
    let choice = usize::from(input.byte());
    let Some(mut image) = bases.get(choice % (bases.len() + 1)).cloned() else {
        // No pool at all: the input itself, somewhere in zeros.
        let mut image = vec![0; 1 + input.below(LEN as u64) as usize / 8 * 8 + 7];
        let bytes = input.bytes(image.len());
        image[..bytes.len()].copy_from_slice(bytes);
        return (image, false);
    };
    let mut forged = false;
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        forged |= change(&mut image, input);
    }
    // Without a checkpoint all that counts is in the records, so nothing contradicts forged ones.
    let forged = forged && seal::has_root(&image);
    (image, forged)
}

/// Makes one change. Returns whether checksums were made right after it.
fn change(image: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let len = image.len() as u64;
    if len < LEN as u64 {
        // Cut short before: what the other changes aim at may not be there.
        return false;
    }
    match input.byte() % 10 {
        0 => {
            let at = input.below(len) as usize;
            store(image, at, input);
        }
        8 => {
            store(image, seal::ROOT + input.below(60) as usize, input);
            seal::root(image);
            return true;
        }
        9 => {
            let blocks = seal::blocks(image);
            if blocks.is_empty() {
                return false;
            }
            let at = blocks[input.below(blocks.len() as u64) as usize];
            let len = u32::from_le_bytes([image[at + 4], image[at + 5], image[at + 6], image[at + 7]]);
            store(image, at + 4 + input.below(u64::from(len - 4)) as usize, input);
            seal::block(image, at);
            return true;
        }
        1 => {
            let choice = input.byte();
            let at = if choice & 1 == 0 { 0 } else { LEN - 4096 };
            match choice >> 5 {
                // What a rewriting or a growth leaves of a magic.
                7 => image[at..at + 8].copy_from_slice(if choice & 2 == 0 { b"HFCHANGE" } else { b"HFGROWNG" }),
                6 => {
                    store(image, at + 128 + input.below(124) as usize, input);
                    seal::history(image, at + 128);
                }
                _ => {
                    store(image, at + input.below(112) as usize, input);
                    seal::superblock(image, at);
                }
            }
            return true;
        }
        2 => {
            let segment = segment(input);
            let at = if input.byte() & 1 == 0 { segment } else { segment + SEGMENT - 64 };
            store(image, at + input.below(60) as usize, input);
            seal::header(image, at);
            return true;
        }
        // Of frames mostly the headers matter; the first operation's header follows the frame's.
        3..=5 => {
            let frames = seal::frames(image, segment(input));
            if frames.is_empty() {
                return false;
            }
            let at = frames[input.below(frames.len() as u64) as usize];
            store(image, at + 4 + input.below(36) as usize, input);
            seal::frame(image, at);
            return true;
        }
        6 => {
            // Lines copied from elsewhere, sealed again at their new place.
            let (from, to) =
                (segment(input) + 64 * input.below(1020) as usize, segment(input) + 64 * input.below(1020) as usize);
            let lines = 1 + input.below(16) as usize;
            let (from, to) = (from.min(LEN - 4096 - 1024), to.min(LEN - 4096 - 1024));
            image.copy_within(from..from + 64 * lines, to);
            seal::frame(image, to);
            return true;
        }
        _ => match input.byte() % 4 {
            0 => image.truncate(input.below(len) as usize),
            1 => image.resize(LEN + input.below(1 << 16) as usize, 0),
            2 => {
                let at = input.below(len) as usize;
                let end = (at + input.below(1 << 16) as usize).min(image.len());
                image[at..end].fill(0);
            }
            _ => {
                // Two segments change places.
                let (one, other) = (segment(input), segment(input));
                let bytes = image[one..one + SEGMENT].to_vec();
                image.copy_within(other..other + SEGMENT, one);
                image[other..other + SEGMENT].copy_from_slice(&bytes);
            }
        },
    }
    false
}

fn segment(input: &mut Input<'_>) -> usize {
    SEGMENT + SEGMENT * input.below(8) as usize
}

/// Stores up to eight bytes of the input.
fn store(image: &mut [u8], at: usize, input: &mut Input<'_>) {
    let count = 1 + usize::from(input.byte() % 8);
    let bytes = input.bytes(count.min(image.len() - at));
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Images to begin with: of a fresh pool, of one with every kind of record, closed and not, and of a full one that was
/// cleaned, closed and not.
fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let fresh = Memory::new(LEN as u64);
        drop(Pool::format(&fresh, &FormatOptions::new(*b"holdfast fuzzing")).unwrap());
        let mut bases = vec![fresh.image()];
        let mut pool = Pool::open(&fresh).unwrap();
        let mut put = |key: &[u8], value: &[u8]| pool.turn(|turn| turn.put(key, value, None)).unwrap().0.unwrap();
        put(b"small", b"value");
        put(b"large", &[1; 20_000]);
        put(b"gone", b"");
        pool.turn(|turn| turn.remove(b"gone")).unwrap().0.unwrap();
        let put =
            |key| pmem::Op::Put { key, value: b"together", value_type: ValueType::STRING, expires_at_ms: Some(5) };
        pool.turn(|turn| turn.atomically(&[put(b"one"), put(b"other")])).unwrap().0.unwrap();
        bases.push(fresh.image());
        pool.close().unwrap();
        bases.push(fresh.image());

        let mut pool = Pool::open(&fresh).unwrap();
        for turn in 0..400u32 {
            let key = (turn % 37).to_le_bytes();
            let len = if turn % 11 == 0 { 9000 } else { 700 };
            pool.turn(|pool| pool.put(&key, &vec![turn as u8; len], None)).unwrap().0.unwrap();
            if turn == 150 {
                pool.turn(|pool| pool.clear()).unwrap().0.unwrap();
            }
        }
        assert!(pool.stats().segments_cleaned > 0);
        bases.push(fresh.image());
        pool.close().unwrap();
        bases.push(fresh.image());
        bases
    })
}
