//! Old copies: parts of an image that are what they were at an earlier time, as after a host that lost or reverted
//! blocks, or a backup that was restored by halves.
//!
//! After a clean shutdown all of them are found, for the checkpoint says how everything was left. After a crash those
//! are that contradict what is there, the generation sums among it; the others are the kinds that docs/pool-format.md
//! names, and no others.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmem::pool::{DamageKind, inspect};
use pmem::sim::{Domain, Event, Memory};
use pmem::{Error, FormatOptions, Pool};

const LEN: usize = 1 << 20;
const FIRST_SEGMENT: usize = 64 << 10;
const SEGMENT: usize = 64 << 10;
const SEGMENTS: usize = 14;
const PAGE: usize = 4 << 10;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A pool's image, what it holds, and what the image was at earlier times.
struct Life {
    image: Vec<u8>,
    model: Model,
    earlier: Vec<Vec<u8>>,
}

/// Writes over keys, removes some, and shuts down now and then, until most segments were used more than once.
fn live(close: bool) -> Life {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    let mut model = Model::new();
    let mut earlier = vec![pool.medium().image()];
    let rounds = 400u32;
    for round in 0..rounds {
        let (result, _durable) = pool
            .turn(|turn| {
                for number in 0..10 {
                    let key = format!("key-{}", (round * 10 + number) * 7919 % 517).into_bytes();
                    if (round + number) % 5 == 0 {
                        turn.remove(&key)?;
                        model.remove(&key);
                    } else {
                        let value = vec![(round + number) as u8; if round % 25 == 3 { 9000 } else { 300 }];
                        turn.put(&key, &value, None)?;
                        model.insert(key, value);
                    }
                }
                Ok::<(), Error>(())
            })
            .unwrap();
        result.unwrap();
        if round % 40 == 7 {
            earlier.push(pool.medium().image());
        }
        if round % 100 == 31 {
            let medium = pool.close().unwrap();
            earlier.push(medium.image());
            pool = Pool::open(medium).unwrap();
        }
    }
    assert!(pool.stats().segments_cleaned > 3);
    let image = if close { pool.close().unwrap().image() } else { pool.medium().image() };
    Life { image, model, earlier }
}

/// What became of an image with an old copy in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Damage, or a refusal to open it.
    Found,
    /// Every key has its value.
    Harmless,
    /// Keys have other values, or none, or are back, and nobody says so.
    Silent,
}

fn contents(pool: &mut Pool<Memory>) -> Model {
    let mut found = Model::new();
    let (result, _durable) = pool
        .turn(|turn| {
            let (mut keys, mut cursor) = (Vec::new(), 0);
            loop {
                cursor = turn.scan(cursor, 100, |key, _| keys.push(key.to_vec()))?;
                if cursor == 0 {
                    break;
                }
            }
            for key in keys {
                let mut value = Vec::new();
                if let Ok(Some(_)) = turn.get(&key, &mut value) {
                    found.insert(key, value);
                }
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    result.unwrap();
    found
}

/// What the tool says of the image, and the opening; both must find the same.
fn outcome(image: Vec<u8>, model: &Model) -> Outcome {
    let checked = inspect(&Memory::from(image.clone()));
    let mut pool = match (Pool::open(Memory::from(image)), &checked) {
        (Ok(pool), Ok(_)) => pool,
        (Err(_), Err(_)) => return Outcome::Found,
        (opened, checked) => panic!("{:?}, but {checked:?}", opened.map(drop)),
    };
    let found = contents(&mut pool);
    while pool.read_ahead(64).unwrap() {}
    let damaged = !checked.unwrap().report.damage.is_empty();
    if found != *model {
        assert_eq!(damaged, !pool.report().damage.is_empty(), "the tool and the opening disagree");
    }
    match (damaged, found == *model) {
        (true, _) => Outcome::Found,
        (false, true) => Outcome::Harmless,
        (false, false) => Outcome::Silent,
    }
}

/// The first header of a segment: its state and its generation.
fn header(image: &[u8], segment: usize) -> (&[u8], u64) {
    let at = FIRST_SEGMENT + segment * SEGMENT;
    (&image[at..at + 8], u64::from_le_bytes(image[at + 8..at + 16].try_into().unwrap()))
}

/// The segment that records were written to last.
fn newest(image: &[u8]) -> usize {
    let used = (0..SEGMENTS).filter(|segment| header(image, *segment).0 == b"HFSEGUSE");
    used.max_by_key(|segment| header(image, *segment).1).unwrap()
}

/// Every piece of the image that was something else once, with what it was: where it begins, and its bytes.
fn old_copies(life: &Life, piece: usize, from: usize, every: usize) -> Vec<(usize, &[u8])> {
    let mut copies = Vec::new();
    for at in (from..from + SEGMENTS * SEGMENT).step_by(piece) {
        let mut known = vec![&life.image[at..at + piece]];
        for earlier in life.earlier.iter().step_by(every) {
            let copy = &earlier[at..at + piece];
            if !known.contains(&copy) {
                known.push(copy);
                copies.push((at, copy));
            }
        }
    }
    copies
}

fn with_copy(life: &Life, at: usize, copy: &[u8]) -> Vec<u8> {
    let mut image = life.image.clone();
    image[at..at + copy.len()].copy_from_slice(copy);
    image
}

/// How many copies were found, harmless and silent; `expect_silent` says whether that may be.
fn count(life: &Life, copies: &[(usize, &[u8])], expect_silent: impl Fn(usize, &[u8]) -> bool) -> [u32; 3] {
    let mut counts = [0; 3];
    for (at, copy) in copies {
        let outcome = outcome(with_copy(life, *at, copy), &life.model);
        let segment = (at - FIRST_SEGMENT) / SEGMENT;
        assert!(outcome != Outcome::Silent || expect_silent(segment, copy), "segment {segment}, byte {at:#x}");
        counts[outcome as usize] += 1;
    }
    counts
}

#[test]
fn after_a_clean_shutdown_every_old_copy_of_a_segment_is_found() {
    let life = live(true);
    assert_eq!(outcome(life.image.clone(), &life.model), Outcome::Harmless);
    let copies = old_copies(&life, SEGMENT, FIRST_SEGMENT, 1);
    let [found, harmless, silent] = count(&life, &copies, |_, _| false);
    assert!(found > 50 && silent == 0, "{found} found, {harmless} harmless");
    // Named as what they are, in the place where they are.
    let at = FIRST_SEGMENT + newest(&life.image) * SEGMENT;
    let (place, copy) = copies.iter().find(|(place, _)| *place != at).unwrap();
    let damage = inspect(&Memory::from(with_copy(&life, *place, copy))).unwrap().report.damage;
    assert_eq!(damage[0].kind, DamageKind::Outdated);
    assert_eq!((damage[0].offset, damage[0].len), (*place as u64, SEGMENT as u64));
    assert!(damage[0].to_string().contains("as it was earlier"));
}

/// In the place of the checkpoint, too, whose table would tell: what was removed since does not come back.
#[test]
fn an_old_copy_of_a_segment_that_held_the_checkpoint_is_set_aside_as_any_other() {
    let life = live(true);
    let row: Vec<usize> = (0..SEGMENTS).filter(|segment| header(&life.image, *segment).0 == b"HFSEGCKP").collect();
    assert_eq!(row.len(), 1);
    let at = FIRST_SEGMENT + row[0] * SEGMENT;
    let mut in_use = 0;
    for (_, copy) in old_copies(&life, SEGMENT, FIRST_SEGMENT, 1).into_iter().filter(|(place, _)| *place == at) {
        in_use += u32::from(copy.starts_with(b"HFSEGUSE"));
        let mut pool = Pool::open(Memory::from(with_copy(&life, at, copy))).unwrap();
        let damage = &pool.report().damage;
        let kinds: Vec<_> = damage.iter().map(|damage| (damage.kind, damage.offset)).collect();
        assert_eq!(kinds, [(DamageKind::Outdated, at as u64)]);
        assert_eq!(contents(&mut pool), life.model);
        let pool = Pool::open(pool.close().unwrap()).unwrap();
        assert!(!pool.report().damage.is_empty(), "the next opening takes it for good");
    }
    assert!(in_use > 2, "{in_use} copies with records");
}

/// The root that tells is gone after one opening; what it told is not.
#[test]
fn an_old_copy_of_a_segment_is_found_by_every_later_opening_until_it_is_repaired() {
    let life = live(true);
    let copies = old_copies(&life, SEGMENT, FIRST_SEGMENT, 4);
    for (at, copy) in copies {
        let mut pool = Pool::open(Memory::from(with_copy(&life, at, copy))).unwrap();
        let found = contents(&mut pool);
        let kinds: Vec<_> = pool.report().damage.iter().map(|damage| damage.kind).collect();
        if !kinds.contains(&DamageKind::Outdated) {
            // In the place of the checkpoint itself, or the same but for what nobody reads.
            assert!(found == life.model, "byte {at:#x}: {kinds:?}");
            continue;
        }
        let crashed = pool.medium().image();
        for image in [crashed, pool.close().unwrap().image()] {
            let mut pool = Pool::open(Memory::from(image)).unwrap();
            assert!(!pool.report().damage.is_empty(), "byte {at:#x} is taken for good");
            assert!(contents(&mut pool) == found, "byte {at:#x}");
            pool.repair().unwrap();
            let mut pool = Pool::open(pool.close().unwrap()).unwrap();
            assert_eq!(pool.report().damage, []);
            assert!(contents(&mut pool) == found, "byte {at:#x}, repaired");
        }
    }
}

#[test]
fn a_power_cut_in_the_opening_that_finds_an_old_copy_does_not_hide_it() {
    let life = live(true);
    let mut random = Rng::with_seed(1);
    for (at, copy) in old_copies(&life, SEGMENT, FIRST_SEGMENT, 12).into_iter().step_by(3) {
        let image = with_copy(&life, at, copy);
        let memory = Memory::from(image.clone());
        memory.record();
        let mut pool = Pool::open(memory).unwrap();
        let found = contents(&mut pool);
        let mut domain = Domain::new(image);
        for event in pool.medium().record() {
            if event == Event::Fence {
                for words in domain.images(8, &mut |below| random.u64(..below)) {
                    let mut pool = Pool::open(Memory::from(domain.image(&words))).unwrap();
                    assert!(!pool.report().damage.is_empty() && contents(&mut pool) == found, "byte {at:#x}");
                    let mut pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
                    assert!(!pool.report().damage.is_empty() && contents(&mut pool) == found, "byte {at:#x}, again");
                }
            }
            domain.apply(&event);
        }
    }
}

#[test]
fn after_a_clean_shutdown_every_old_copy_of_a_page_is_found() {
    let life = live(true);
    let copies = old_copies(&life, PAGE, FIRST_SEGMENT, 4);
    let [found, harmless, silent] = count(&life, &copies, |_, _| false);
    assert!(found > 100 && silent == 0, "{found} found, {harmless} harmless");
    // The root of a checkpoint that the pool has left behind costs nothing, and is not taken for this one's.
    let root = life.earlier.iter().map(|earlier| &earlier[PAGE..2 * PAGE]).find(|root| root[..8] == *b"HFCHKPNT");
    let image = with_copy(&life, PAGE, root.unwrap());
    assert_eq!(contents(&mut Pool::open(Memory::from(image.clone())).unwrap()), life.model);
    let damage = inspect(&Memory::from(image)).unwrap().report.damage;
    assert_eq!(damage.iter().map(|damage| damage.kind).collect::<Vec<_>>(), [DamageKind::Checkpoint]);
}

/// The segment that was opened last, for whatever.
fn opened_last(image: &[u8]) -> usize {
    (0..SEGMENTS).max_by_key(|segment| header(image, *segment).1).unwrap()
}

/// Without a checkpoint nothing says that a segment was freed, nor where the log's newest segment ended, or was opened.
/// Everything else contradicts something: of an earlier use of a segment, the newest header knows.
#[test]
fn after_a_crash_old_copies_of_segments_are_found_but_for_the_newest_and_freed_ones() {
    let life = live(false);
    let newest = [newest(&life.image), opened_last(&life.image)];
    let copies = old_copies(&life, SEGMENT, FIRST_SEGMENT, 1);
    let generation = |copy: &[u8]| u64::from_le_bytes(copy[8..16].try_into().unwrap());
    let mut of_other_uses = 0;
    let [found, harmless, silent] = count(&life, &copies, |segment, copy| {
        let (state, now) = header(&life.image, segment);
        newest.contains(&segment) || generation(copy) == now && copy[..8] != *state
    });
    for (at, copy) in &copies {
        let segment = (at - FIRST_SEGMENT) / SEGMENT;
        if newest.contains(&segment) || generation(copy) == header(&life.image, segment).1 {
            continue;
        }
        // Named as what they are, in the place where they are, whether anything is lost by that or not.
        let damage = inspect(&Memory::from(with_copy(&life, *at, copy))).unwrap().report.damage;
        let named = |damage: &pmem::pool::Damage| (damage.kind, damage.offset) == (DamageKind::Outdated, *at as u64);
        assert!(damage.iter().any(named), "segment {segment}: {damage:?}");
        of_other_uses += 1;
    }
    assert!(found > 50 && of_other_uses > 50, "{found} found, {harmless} harmless, {silent} silent, {of_other_uses}");
}

/// What was found stays found: by every later opening, however the pool goes on, until it is repaired.
#[test]
fn an_old_copy_found_after_a_crash_is_found_until_it_is_repaired() {
    let life = live(false);
    let last = [newest(&life.image), opened_last(&life.image)];
    let generation = |copy: &[u8]| u64::from_le_bytes(copy[8..16].try_into().unwrap());
    let mut copies = old_copies(&life, SEGMENT, FIRST_SEGMENT, 4);
    copies.retain(|(at, copy)| {
        let segment = (at - FIRST_SEGMENT) / SEGMENT;
        !last.contains(&segment) && generation(copy) != header(&life.image, segment).1
    });
    let pairs: Vec<_> = copies.windows(2).filter(|pair| pair[0].0 != pair[1].0).collect();
    assert!(copies.len() > 10 && pairs.len() > 3);
    let singles = copies.chunks(1).step_by(3).map(|single| (single, DamageKind::Outdated));
    for (copies, kind) in singles.chain(pairs.into_iter().map(|pair| (pair, DamageKind::OutdatedSomewhere))) {
        let mut image = life.image.clone();
        copies.iter().for_each(|(at, copy)| image[*at..at + SEGMENT].copy_from_slice(copy));
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        let damage = &pool.report().damage;
        assert!(damage.iter().any(|damage| damage.kind == kind), "{damage:?}");
        let found = contents(&mut pool);
        // Segments are opened, and tell what they should.
        for number in 0..200u32 {
            pool.turn(|turn| turn.put(&number.to_le_bytes(), &[7; 900], None)).unwrap().0.unwrap();
            pool.turn(|turn| turn.remove(&number.to_le_bytes())).unwrap().0.unwrap();
        }
        let mut pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
        assert!(!pool.report().damage.is_empty(), "it is taken for good");
        assert!(contents(&mut pool) == found);
        pool.repair().unwrap();
        for image in [pool.medium().image(), pool.close().unwrap().image()] {
            let mut pool = Pool::open(Memory::from(image)).unwrap();
            assert_eq!(pool.report().damage, []);
            assert!(contents(&mut pool) == found, "repaired");
        }
    }
}

#[test]
fn after_a_crash_old_copies_of_pages_are_found_but_for_the_newest_segment_and_freed_ones() {
    let life = live(false);
    let newest = newest(&life.image);
    let copies = old_copies(&life, PAGE, FIRST_SEGMENT, 4);
    let [found, harmless, silent] = count(&life, &copies, |segment, _| segment == newest);
    assert!(found > 100, "{found} found, {harmless} harmless, {silent} silent");
}
