//! Damage: whatever happens to an image's bytes, opening it ends, says what it found, and keeps what is whole.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use fastrand::Rng;
use pmem::pool::{Checkpoint, DamageKind, Tail};
use pmem::sim::{Event, Memory};
use pmem::{Error, FormatOptions, Medium, Pool, Store};
use proptest::prelude::*;

const LEN: usize = 1 << 20;
const SEGMENT: usize = 64 << 10;
const FIRST_SEGMENT: usize = 64 << 10;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A pool with overwritten, removed and large records in many segments, and what it holds.
fn sample(close: bool) -> (Vec<u8>, Model) {
    static SAMPLES: [OnceLock<(Vec<u8>, Model)>; 2] = [OnceLock::new(), OnceLock::new()];
    SAMPLES[usize::from(close)].get_or_init(|| make_sample(close)).clone()
}

fn make_sample(close: bool) -> (Vec<u8>, Model) {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    let mut model = Model::new();
    for round in 0..120u32 {
        let (result, _durable) = pool
            .turn(|turn| {
                for number in 0..10 {
                    let key = format!("key-{}", (round * 10 + number) * 7919 % 900).into_bytes();
                    if number == 9 && round % 3 == 0 {
                        turn.remove(&key)?;
                        model.remove(&key);
                    } else if number == 8 && round % 20 == 10 {
                        // The chunks of a value that has some, anew.
                        let key = format!("key-{}", (round - 10) * 10 * 7919 % 900).into_bytes();
                        let value = vec![round as u8; 12_000];
                        turn.put_range(&key, 0, &value)?;
                        model.insert(key, value);
                    } else {
                        let len = if number == 0 && round % 20 == 0 { 12_000 } else { 40 + number * 30 };
                        let value = vec![(round + number) as u8; len as usize];
                        turn.put(&key, &value, None)?;
                        model.insert(key, value);
                    }
                }
                Ok::<(), Error>(())
            })
            .unwrap();
        result.unwrap();
    }
    let image = if close { pool.close().unwrap().image() } else { pool.medium().image() };
    (image, model)
}

/// What opening a damaged image gave.
enum Outcome {
    Refused(Error),
    Opened { found: Model, unreadable: usize, wrong: usize, tail: Tail, damage: Vec<DamageKind> },
}

/// Opens an image, reads all of it, and writes to it, as a program would.
fn exercise(image: Vec<u8>, model: &Model) -> Outcome {
    let mut pool = match Pool::open(Memory::from(image)) {
        Ok(pool) => pool,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Outcome::Refused(error);
        }
    };
    let tail = pool.report().tail;
    let mut found = Model::new();
    let (mut unreadable, mut wrong) = (0, 0);
    let (keys, _durable) = pool
        .turn(|turn| {
            let mut keys = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = turn.scan(cursor, 100, |key, _| keys.push(key.to_vec()))?;
                if cursor == 0 {
                    return Ok::<_, Error>(keys);
                }
            }
        })
        .unwrap();
    for key in keys.unwrap() {
        let mut value = Vec::new();
        match pool.turn(|turn| turn.get(&key, &mut value)).unwrap().0 {
            Ok(_) => {
                wrong += usize::from(model.get(&key) != Some(&value));
                found.insert(key, value);
            }
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
                unreadable += 1;
            }
        }
    }
    while pool.read_ahead(1).unwrap() {}
    let damage: Vec<_> = pool.report().damage.iter().map(|damage| damage.kind).collect();
    for number in 0..50u8 {
        let (result, _durable) = pool.turn(|turn| turn.put(&[number], &[number; 300], None)).unwrap();
        assert!(matches!(result, Ok(()) | Err(Error::Full)), "{result:?}");
        if result.is_ok() {
            let mut value = Vec::new();
            pool.turn(|turn| turn.get(&[number], &mut value)).unwrap().0.unwrap();
            assert_eq!(value, [number; 300]);
        }
    }
    Outcome::Opened { found, unreadable, wrong, tail, damage }
}

/// Nothing was lost or changed in silence.
fn assert_not_silent(outcome: Outcome, model: &Model) {
    match outcome {
        Outcome::Refused(error) => assert!(
            matches!(
                error,
                Error::SuperblockDamaged
                    | Error::Foreign { .. }
                    | Error::NewerVersion { .. }
                    | Error::Blank
                    | Error::UnknownFeatures { .. }
                    | Error::UnknownFeaturesToWrite { .. }
                    | Error::FormatInterrupted
                    | Error::Damaged { .. }
                    | Error::Zeroed
                    | Error::TwoPools
                    | Error::OtherSegments
            ),
            "{error}"
        ),
        Outcome::Opened { found, unreadable, wrong, tail, damage } => {
            let complete = found == *model;
            assert_eq!(complete, wrong == 0 && unreadable == 0 && found.len() == model.len());
            assert!(complete || tail != Tail::Clean || !damage.is_empty(), "lost in silence: {wrong} wrong");
            // A value is an old one or the right one, never another.
            for (key, value) in &found {
                assert!(value.windows(2).all(|pair| pair[0] == pair[1]), "{key:?} has a mixed value");
            }
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_record_at_most() {
    let (image, model) = sample(true);
    let mut random = Rng::with_seed(12345);
    for _ in 0..200 {
        let bit = random.usize(..LEN * 8);
        let mut damaged = image.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match exercise(damaged, &model) {
            Outcome::Refused(error) => panic!("bit {bit}: {error}"),
            Outcome::Opened { found, unreadable, wrong, damage, .. } => {
                let lost = model.len().abs_diff(found.len()).max(wrong).max(unreadable);
                assert!(lost <= 1, "bit {bit} cost {lost} keys");
                assert!(lost == 0 || !damage.is_empty(), "bit {bit} cost a key in silence");
            }
        }
    }
}

#[test]
fn every_metadata_line_may_be_lost() {
    let (image, model) = sample(true);
    let headers = (0..(LEN - FIRST_SEGMENT) / SEGMENT).flat_map(|segment| {
        let start = FIRST_SEGMENT + segment * SEGMENT;
        [start, start + SEGMENT - 64]
    });
    for line in headers.filter(|line| line + 64 <= LEN).chain([0, 64, 128, 192, LEN - 4096, LEN - 4096 + 128]) {
        let mut damaged = image.clone();
        damaged[line..line + 64].fill(0xA5);
        let Outcome::Opened { found, .. } = exercise(damaged, &model) else { panic!("line {line:#x}") };
        assert!(found == model, "line {line:#x} cost {} keys", model.len() - found.len());
    }
}

/// A flipped bit in any byte of a superblock, a history record or a segment header is found, named, and costs nothing.
#[test]
fn every_byte_of_metadata_is_verified() {
    let (image, model) = sample(true);
    let line = |at: usize| at..at + 64;
    let headers = [FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT - 64, FIRST_SEGMENT + 3 * SEGMENT];
    let bytes = headers.into_iter().flat_map(line).chain(0..256).chain(LEN - 4096..LEN - 4096 + 256);
    for byte in bytes {
        let mut damaged = image.clone();
        damaged[byte] ^= 1 << (byte % 8);
        let pool = Pool::open(Memory::from(damaged)).unwrap_or_else(|error| panic!("byte {byte:#x}: {error}"));
        let range = |damage: &pmem::pool::Damage| (damage.offset..damage.offset + damage.len).contains(&(byte as u64));
        assert!(pool.report().damage.iter().any(range), "byte {byte:#x}: {:?}", pool.report());
        assert_eq!(pool.stats().keys, model.len() as u64, "byte {byte:#x}");
    }
}

/// Of a segment that a clearing made void, too; and it is mended, so that later checkpoints count.
#[test]
fn a_damaged_header_of_a_cleared_segment_is_named_and_mended() {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap().0.unwrap();
    pool.medium().record();
    let before = pool.medium().image();
    pool.turn(|turn| turn.clear()).unwrap().0.unwrap();
    // A power cut before the clearing frees the segment.
    let mut image = before;
    for event in pool.medium().record() {
        match event {
            Event::Store { bytes, .. } if bytes == b"HFSEGFRE" => break,
            Event::Store { offset, bytes } => image[offset as usize..][..bytes.len()].copy_from_slice(&bytes),
            _ => {}
        }
    }
    assert_eq!(Pool::open(Memory::from(image.clone())).unwrap().stats().keys, 0);
    for header in [FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT - 64] {
        let mut image = image.clone();
        image[header + 20] ^= 1;
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        let places: Vec<_> = pool.report().damage.iter().map(|damage| damage.offset).collect();
        assert_eq!((places, pool.stats().keys), (vec![header as u64], 0));
        pool.turn(|turn| turn.put(b"key", b"anew", None)).unwrap().0.unwrap();
        let pool = Pool::open(Pool::open(pool.close().unwrap()).unwrap().close().unwrap()).unwrap();
        let report = pool.report();
        assert!(report.damage.is_empty() && matches!(report.checkpoint, Checkpoint::Used { .. }), "{report:?}");
    }
}

/// A store to a segment's first header that the medium lost: what the second one says is newer, and counts.
#[test]
fn an_old_header_does_not_count() {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    let old = pool.medium().image();
    pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap().0.unwrap();
    let mut image = pool.close().unwrap().image();
    image[FIRST_SEGMENT..FIRST_SEGMENT + 64].copy_from_slice(&old[FIRST_SEGMENT..FIRST_SEGMENT + 64]);
    let pool = Pool::open(Memory::from(image)).unwrap();
    assert_eq!(pool.stats().keys, 1);
    assert_eq!(pool.report().damage.len(), 1);
    assert_eq!(pool.report().damage[0].kind, DamageKind::SegmentHeader);
}

#[test]
fn a_segment_without_headers_is_reported() {
    let (mut image, model) = sample(true);
    image[FIRST_SEGMENT..FIRST_SEGMENT + 64].fill(0);
    image[FIRST_SEGMENT + SEGMENT - 64..FIRST_SEGMENT + SEGMENT].fill(0);
    let Outcome::Opened { damage, wrong, .. } = exercise(image, &model) else { panic!() };
    assert!(damage.contains(&DamageKind::Segment));
    assert!(wrong < model.len() / 2);
}

/// Found by fuzzing: the turn failed as a whole, which a program takes for the loss of its device.
#[test]
fn clearing_is_refused_where_damage_left_no_free_segment() {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap().0.unwrap();
    let mut image = pool.medium().image();
    for header in (FIRST_SEGMENT + SEGMENT..LEN - 4096).step_by(SEGMENT) {
        image[header..header + 64].fill(0xff);
        let end = header + SEGMENT;
        if end <= LEN - 4096 {
            image[end - 64..end].fill(0xff);
        }
    }
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    assert_eq!(pool.stats().free_bytes / SEGMENT as u64, 0);
    let (cleared, _durable) = pool.turn(|turn| turn.clear()).unwrap();
    assert_eq!(cleared, Err(Error::Full));
    let (kept, _durable) = pool.turn(|turn| turn.contains(b"key")).unwrap();
    assert_eq!(kept, Ok(true));
}

/// A part of a value that misses a chunk cannot be changed; all of it can, and is whole for good.
#[test]
fn a_value_that_misses_a_chunk_is_mended_as_a_whole_only() {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    let value: Vec<u8> = (0..60_000u32).map(|byte| (byte / 100) as u8).collect();
    let ((), _durable) = pool.turn(|turn| turn.put(b"key", &value, None).unwrap()).unwrap();
    let mut image = pool.medium().image();
    let at = image.windows(100).position(|bytes| *bytes == [77; 100]).unwrap();
    image[at] ^= 1;
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    let is_value = |damage: &pmem::pool::Damage| damage.kind == DamageKind::Value;
    assert!(pool.report().damage.iter().any(is_value));
    let part = pool.turn(|turn| turn.put_range(b"key", 0, &[5; 32 << 10])).unwrap().0;
    assert!(matches!(part, Err(Error::Damaged { .. })), "{part:?}");
    let whole = pool.turn(|turn| turn.put_range(b"key", 0, &[5; 60_000])).unwrap().0;
    assert_eq!(whole.unwrap(), 60_000);
    let mut pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert!(!pool.report().damage.iter().any(is_value), "{:?}", pool.report().damage);
    let mut found = Vec::new();
    pool.turn(|turn| turn.get(b"key", &mut found)).unwrap().0.unwrap();
    assert!(found == [5; 60_000]);
}

/// Chunks that were changed are lost, and older ones of the same value are still there: they do not take their place.
#[test]
fn a_value_is_not_mixed_of_new_and_old_chunks() {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    let ((), _durable) = pool.turn(|turn| turn.put(b"key", &[1; 60_000], None).unwrap()).unwrap();
    // Longer than a frame.
    let ((), _durable) =
        pool.turn(|turn| assert_eq!(turn.put_range(b"key", 0, &[2; 40_000]).unwrap(), 60_000)).unwrap();
    let image = pool.medium().image();
    let part = (1..15).map(|segment| segment * SEGMENT).rfind(|at| image[at + 9000..at + 9100] == [2; 100]).unwrap();
    for close in [false, true] {
        let mut image = image.clone();
        image[part + 9000] ^= 1;
        if close {
            image = Pool::open(Memory::from(image)).unwrap().close().unwrap().image();
        }
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        let kinds: Vec<_> = pool.report().damage.iter().map(|damage| damage.kind).collect();
        assert!(kinds.contains(&DamageKind::Records) && kinds.contains(&DamageKind::Value), "{kinds:?}");
        let mut value = Vec::new();
        let read = pool.turn(|turn| turn.get(b"key", &mut value)).unwrap().0;
        assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
        pool.turn(|turn| turn.put(b"key", b"anew", None)).unwrap().0.unwrap();
        pool.turn(|turn| turn.get(b"key", &mut value)).unwrap().0.unwrap();
        assert_eq!(value, b"anew");
    }
}

#[test]
fn an_unreadable_last_batch_is_a_torn_tail_unless_the_pool_was_shut_down() {
    let (image, model) = sample(false);
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    assert_eq!(pool.report().tail, Tail::Unclean);
    assert_eq!(pool.stats().keys, model.len() as u64);
    let marker = b"the very last value that was written";
    pool.turn(|turn| turn.put(b"last", marker, None)).unwrap().0.unwrap();
    let mut image = pool.medium().image();
    let at = image.windows(marker.len()).rposition(|window| window == marker).unwrap();
    image[at] ^= 1;
    let pool = Pool::open(Memory::from(image)).unwrap();
    assert!(matches!(pool.report().tail, Tail::Torn { .. }), "{:?}", pool.report());
    assert_eq!(pool.stats().keys, model.len() as u64);

    // After a clean shutdown the same is damage, for the shutdown's own record proves that the batch was complete.
    let mut image = pool.close().unwrap().image();
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    pool.turn(|turn| turn.put(b"last", marker, None)).unwrap().0.unwrap();
    image = pool.close().unwrap().image();
    let at = image.windows(marker.len()).rposition(|window| window == marker).unwrap();
    image[at] ^= 1;
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    assert!(!pool.turn(|turn| turn.contains(b"last")).unwrap().0.unwrap());
    assert_eq!(pool.report().damage[0].kind, DamageKind::Records);
    assert!((pool.report().damage[0].offset..at as u64).contains(&(at as u64 - 1)));
}

/// As a newer program would have written them: valid, and not to be read or changed by this one.
#[test]
fn newer_versions_and_features_are_refused_by_name_and_left_alone() {
    let (image, model) = sample(true);
    let change = |at: usize, value: u8| {
        let mut image = image.clone();
        for superblock in [0, LEN - 4096] {
            image[superblock + at] = value;
            let checksum = pmem::crc32c::crc32c(&image[superblock..superblock + 124]);
            image[superblock + 124..superblock + 128].copy_from_slice(&checksum.to_le_bytes());
        }
        image
    };
    let version = change(8, 3);
    let to_read = change(64, 4);
    let to_write = change(72 + 7, 1);
    for (image, expected, words) in [
        (version, Error::NewerVersion { found: 3 }, "version 3"),
        (to_read, Error::UnknownFeatures { bits: 4 }, "bits 0x4"),
        (to_write, Error::UnknownFeaturesToWrite { bits: 1 << 56 }, "bits 0x100000000000000"),
    ] {
        let memory = Memory::from(image.clone());
        assert_eq!(Pool::open(&memory).err().as_ref(), Some(&expected));
        assert_eq!(Pool::open_or_format(&memory, &FormatOptions::new([1; 16])).err().as_ref(), Some(&expected));
        let reads = matches!(expected, Error::UnknownFeaturesToWrite { .. });
        assert_eq!(pmem::inspect(&memory).err(), Some(expected.clone()).filter(|_| !reads));
        let copy = Memory::from(image.clone());
        let keys = Pool::open_copy(copy).map(|pool| pool.stats().keys).ok();
        assert_eq!(keys, reads.then_some(model.len() as u64));
        let text = expected.to_string();
        assert!(text.contains(words) && text.contains("use a newer program"), "{text}");
        assert!(memory.image() == image, "it was changed");
    }
}

/// No pool ever reached it, and nobody would read what gets the next one.
#[test]
fn a_forged_header_that_ends_the_generations_is_refused() {
    let mut image = sample(true).0;
    for header in [FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT - 64] {
        image[header + 8..header + 16].copy_from_slice(&((1u64 << 56) - 1).to_le_bytes());
        let salted = [&[7; 16], &image[header + 8..header + 60]].concat();
        image[header + 60..header + 64].copy_from_slice(&pmem::crc32c::crc32c(&salted).to_le_bytes());
    }
    let opened = Pool::open(Memory::from(image)).map(drop);
    assert_eq!(opened, Err(Error::Damaged { offset: FIRST_SEGMENT as u64 }));
}

#[test]
fn swapped_segments_are_not_taken_for_each_other() {
    let (mut image, model) = sample(true);
    let (first, second) = (FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT);
    let copy = image[first..first + SEGMENT].to_vec();
    image.copy_within(second..second + SEGMENT, first);
    image[second..second + SEGMENT].copy_from_slice(&copy);
    let pool = Pool::open(Memory::from(image.clone())).unwrap();
    let kinds: Vec<_> = pool.report().damage.iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::MisplacedSegment; 2]);
    assert_not_silent(exercise(image, &model), &model);
}

#[test]
fn an_older_copy_of_a_segment_does_not_bring_keys_back_in_silence() {
    let (old, _) = sample(true);
    let (mut image, model) = sample(true);
    // The same pool with everything removed, and one segment of its past put back.
    let mut pool = Pool::open(Memory::from(image.clone())).unwrap();
    pool.turn(|turn| turn.clear()).unwrap().0.unwrap();
    image = pool.close().unwrap().image();
    image[FIRST_SEGMENT..FIRST_SEGMENT + SEGMENT].copy_from_slice(&old[FIRST_SEGMENT..FIRST_SEGMENT + SEGMENT]);
    let Outcome::Opened { found, .. } = exercise(image, &model) else { panic!() };
    assert_eq!(found.len(), 0);
}

/// A way to damage an image.
#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, u8),
    Zero(usize, usize),
    Noise(usize, usize, u64),
    Copy(usize, usize, usize),
    Swap(usize, usize, usize),
    Truncate(usize),
}

impl Harm {
    fn inflict(&self, image: &mut Vec<u8>) {
        let clamp = |at: usize, len: usize| at.min(image.len())..(at + len).min(image.len());
        match *self {
            Harm::Flip(at, mask) => {
                if let Some(byte) = image.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Harm::Zero(at, len) => {
                let range = clamp(at, len);
                image[range].fill(0);
            }
            Harm::Noise(at, len, seed) => {
                let range = clamp(at, len);
                let mut state = seed | 1;
                for byte in &mut image[range] {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    *byte = state as u8;
                }
            }
            Harm::Copy(from, to, len) => {
                let len = len.min(image.len() - from.min(image.len())).min(image.len() - to.min(image.len()));
                if len > 0 {
                    image.copy_within(from..from + len, to);
                }
            }
            Harm::Swap(one, other, len) => {
                for at in 0..len {
                    if one + at < image.len() && other + at < image.len() {
                        image.swap(one + at, other + at);
                    }
                }
            }
            Harm::Truncate(len) => image.truncate(len),
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || prop_oneof![0..LEN, (0..LEN / 64).prop_map(|line| line * 64), 0..200usize, LEN - 5000..LEN];
    let len = || prop_oneof![1..300usize, Just(64), Just(4096), Just(SEGMENT), 1..3 * SEGMENT];
    prop_oneof![
        4 => (at(), 1..=255u8).prop_map(|(at, mask)| Harm::Flip(at, mask)),
        2 => (at(), len()).prop_map(|(at, len)| Harm::Zero(at, len)),
        2 => (at(), len(), any::<u64>()).prop_map(|(at, len, seed)| Harm::Noise(at, len, seed)),
        1 => (at(), at(), len()).prop_map(|(from, to, len)| Harm::Copy(from, to, len)),
        1 => (at(), at(), len()).prop_map(|(one, other, len)| Harm::Swap(one, other, len)),
        1 => (0..LEN).prop_map(Harm::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_survived_and_not_silent(harms in proptest::collection::vec(harm(), 1..6), close: bool) {
        let (mut image, model) = sample(close);
        harms.iter().for_each(|harm| harm.inflict(&mut image));
        let length_changed = image.len() != LEN;
        match exercise(image, &model) {
            Outcome::Refused(Error::Truncated { .. } | Error::TooSmall { .. }) => prop_assert!(length_changed),
            outcome => assert_not_silent(outcome, &model),
        }
    }

    #[test]
    fn damage_to_an_open_pool_is_survived(seed: u64, harms in proptest::collection::vec((0..LEN, 1..2000usize), 1..8)) {
        let (image, model) = sample(true);
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        let mut keys: Vec<_> = model.into_keys().collect();
        for (round, (at, len)) in harms.into_iter().enumerate() {
            let mut noise = vec![0; len.min(LEN - at)];
            Harm::Noise(0, len, seed ^ at as u64).inflict(&mut noise);
            pool.medium().write(|store| store.store(at as u64, &noise)).unwrap().unwrap();
            for (number, key) in keys.iter().enumerate() {
                let mut value = Vec::new();
                let (result, _durable) = pool
                    .turn(|turn| match (number + round) % 4 {
                        0 => turn.put(key, &vec![1; 30 + number % 500], None),
                        1 => turn.remove(key).map(drop),
                        2 => turn.scan(seed ^ number as u64, 10, |_, _| {}).map(drop),
                        _ => turn.get(key, &mut value).map(drop),
                    })
                    .unwrap();
                prop_assert!(matches!(result, Ok(()) | Err(Error::Full | Error::Damaged { .. })), "{:?}", result);
            }
            keys.rotate_left(1);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_opened(seed: u64, magic: bool, len in 0..LEN) {
        let mut image = vec![0; len];
        Harm::Noise(0, len, seed).inflict(&mut image);
        if magic && len > 8 {
            image[..8].copy_from_slice(b"HOLDFAST");
        }
        let result = Pool::open(Memory::from(image));
        prop_assert!(result.is_err());
    }
}
