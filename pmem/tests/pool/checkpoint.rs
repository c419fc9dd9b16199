//! Checkpoints: opening from one takes the same however many keys there are, and whatever is wrong with it costs no
//! key.

use std::collections::BTreeMap;

use pmem::pool::{Checkpoint, DamageKind, Shutdown, Tail};
use pmem::sim::{Domain, Event, Memory};
use pmem::{Error, FormatOptions, Medium, Pool, inspect};

/// Where the root is.
const ROOT: usize = 4096;
const SEGMENT: usize = 64 << 10;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn format(len: u64) -> Pool<Memory> {
    let options = FormatOptions { segment_size: Some(SEGMENT as u32), ..FormatOptions::new([7; 16]) };
    Pool::format(Memory::new(len), &options).unwrap()
}

fn key(number: u64) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

fn put(pool: &mut Pool<Memory>, model: &mut Model, number: u64, value: &[u8]) {
    pool.turn(|turn| turn.put(&key(number), value, None)).unwrap().0.unwrap();
    model.insert(key(number), value.to_vec());
}

/// A pool of so many keys, some overwritten, removed or long, and what it holds.
fn filled(len: u64, keys: u64) -> (Pool<Memory>, Model) {
    let (mut pool, mut model) = (format(len), Model::new());
    for number in 0..keys {
        put(&mut pool, &mut model, number, &[number as u8; 64]);
        if number % 10 == 3 {
            put(&mut pool, &mut model, number / 2, &[1; 30]);
        }
        if number % 10 == 7 {
            pool.turn(|turn| turn.remove(&key(number - 1))).unwrap().0.unwrap();
            model.remove(&key(number - 1));
        }
        if number % 1000 == 5 {
            put(&mut pool, &mut model, number, &[9; 20_000]);
        }
    }
    (pool, model)
}

/// A closed pool's image.
fn closed(len: u64, keys: u64) -> (Vec<u8>, Model) {
    let (pool, model) = filled(len, keys);
    let (medium, shutdown) = pool.shut_down().unwrap();
    assert!(matches!(shutdown, Shutdown::Checkpoint { .. }), "{shutdown:?}");
    (medium.image(), model)
}

fn contents(pool: &mut Pool<Memory>) -> Model {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        let step = pool.turn(|turn| turn.scan(cursor, 100, |key, _| keys.push(key.to_vec()))).unwrap().0;
        cursor = step.unwrap();
        if cursor == 0 {
            break;
        }
    }
    let mut get = |key: Vec<u8>| {
        let mut value = Vec::new();
        pool.turn(|turn| turn.get(&key, &mut value)).unwrap().0.unwrap().expect("a key that was visited is there");
        (key, value)
    };
    keys.into_iter().map(&mut get).collect()
}

fn open(image: Vec<u8>) -> Pool<Memory> {
    Pool::open(Memory::from(image)).unwrap()
}

fn is_used(pool: &Pool<Memory>) -> bool {
    matches!(pool.report().checkpoint, Checkpoint::Used { .. })
}

#[test]
fn the_first_answer_reads_the_same_however_many_keys_there_are() {
    let mut read = Vec::new();
    for keys in [1000, 4000, 16_000, 64_000] {
        let (image, model) = closed(32 << 20, keys);
        let mut pool = open(image);
        assert!(is_used(&pool) && pool.report().records == 0);
        assert_eq!(pool.report().keys, model.len() as u64);
        let mut value = Vec::new();
        pool.turn(|turn| turn.get(&key(1), &mut value)).unwrap().0.unwrap();
        assert_eq!(value, model[&key(1)]);
        pool.turn(|turn| turn.put(b"new", b"value", None)).unwrap().0.unwrap();
        read.push(pool.medium().counters().bytes_loaded);
    }
    // What differs is how many entries happen to be in a page, and how full the segments are that are verified.
    let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
    assert!(most - least < 5 * SEGMENT as u64, "{read:?}");
}

#[test]
fn what_was_closed_is_opened_and_its_room_is_given_back() {
    let (image, model) = closed(4 << 20, 3000);
    let found = inspect(&Memory::from(image.clone())).unwrap();
    assert!(matches!(found.report.checkpoint, Checkpoint::Used { .. }) && found.report.damage.is_empty(), "{found}");
    let mut pool = open(image);
    let held = pool.stats();
    let mut steps = 0;
    while pool.read_ahead(1).unwrap() {
        steps += 1;
    }
    assert!(steps > 10, "{steps} steps");
    let stats = pool.stats();
    assert_eq!(stats.free_bytes - held.free_bytes, u64::from(found.segments_checkpoint) * SEGMENT as u64);
    assert_eq!(stats.live_bytes, held.live_bytes);
    assert!(contents(&mut pool) == model);
    // Again and again.
    for round in 0..20u64 {
        pool = open(pool.close().unwrap().image());
        assert!(is_used(&pool), "round {round}: {:?}", pool.report());
        if round % 3 == 0 {
            pool.read_ahead(3).unwrap();
        }
    }
    assert!(contents(&mut pool) == model);
    assert_eq!(inspect(pool.medium()).unwrap().report.damage, []);
}

#[test]
fn writes_before_everything_is_read_count() {
    let (image, mut model) = closed(4 << 20, 3000);
    let mut pool = open(image);
    for number in (0..6000).step_by(7) {
        put(&mut pool, &mut model, number, &[5; 10]);
        if number % 3 == 0 {
            pool.turn(|turn| turn.remove(&key(number + 1))).unwrap().0.unwrap();
            model.remove(&key(number + 1));
        }
        if number % 50 == 0 {
            pool.read_ahead(1).unwrap();
        }
    }
    assert!(contents(&mut pool) == model);
    let crashed = pool.medium().image();
    let (medium, _) = pool.shut_down().unwrap();
    assert_eq!(inspect(&medium).unwrap().report.damage, []);
    for image in [medium.image(), crashed] {
        let mut pool = open(image);
        assert!(contents(&mut pool) == model);
    }
}

/// Every byte of a checkpoint may be damaged: nothing is lost, and it is said.
#[test]
fn a_damaged_checkpoint_costs_no_key_and_is_reported() {
    let (image, model) = closed(4 << 20, 1500);
    let segments = (64 << 10..image.len() - SEGMENT).step_by(SEGMENT).filter(|at| image[*at..*at + 8] == *b"HFSEGCKP");
    let mut said = [0; 2];
    for segment in segments {
        let places = (segment + 64..segment + SEGMENT - 64).step_by(997);
        for place in places.filter(|place| image[*place] != 0) {
            let mut damaged = image.clone();
            damaged[place] ^= 0x20;
            let found = inspect(&Memory::from(damaged.clone())).unwrap();
            let mut pool = open(damaged);
            assert!(contents(&mut pool) == model, "byte {place:#x}");
            while pool.read_ahead(10).unwrap() {}
            match pool.report().checkpoint {
                Checkpoint::Refused { .. } => said[0] += 1,
                _ => {
                    let kinds: Vec<_> = pool.report().damage.iter().map(|damage| damage.kind).collect();
                    assert_eq!(kinds, [DamageKind::Checkpoint], "byte {place:#x}");
                    let damage = &pool.report().damage[0];
                    assert!(found.report.damage.iter().any(|found| found == damage), "{damage} {found}");
                    said[1] += 1;
                }
            }
            // The next one is whole again.
            let mut pool = open(pool.close().unwrap().image());
            assert!(is_used(&pool) && pool.report().damage.is_empty());
            assert!(contents(&mut pool) == model);
        }
    }
    assert!(said[0] > 0 && said[1] > 0, "{said:?}");
}

/// The opening has not looked at it; the statistics know as soon as somebody has.
#[test]
fn a_record_that_is_damaged_behind_a_checkpoint_is_counted_when_it_is_met() {
    let (mut image, model) = closed(4 << 20, 300);
    let at = image.windows(64).position(|bytes| *bytes == [120; 64]).unwrap();
    image[at] ^= 1;
    let mut pool = open(image);
    assert!(is_used(&pool));
    assert_eq!(pool.stats().damaged_places, 0);
    assert!(contents(&mut pool).len() < model.len());
    assert_eq!((pool.stats().damaged_places, pool.report().damage.len()), (1, 1));
}

#[test]
fn a_damaged_root_costs_time_only() {
    let (image, model) = closed(4 << 20, 1500);
    for byte in 0..64 {
        let mut damaged = image.clone();
        damaged[ROOT + byte] ^= 4;
        let mut pool = open(damaged);
        assert!(matches!(pool.report().checkpoint, Checkpoint::Refused { .. }), "byte {byte}: {:?}", pool.report());
        assert_eq!((pool.report().tail, pool.report().damage.len()), (Tail::Clean, 0));
        assert!(contents(&mut pool) == model);
        assert_eq!(inspect(pool.medium()).unwrap().segments_checkpoint, 0, "its segments are not free again");
    }
}

/// Damage to a record that an opening from a checkpoint did not read is met before the record is used.
/// Whichever of the segments that hold it: the root tells which one is as it was earlier. Of several it tells that.
#[test]
fn a_segment_of_the_checkpoint_that_is_an_old_copy_is_named() {
    let (image, model) = closed(16 << 20, 20_000);
    let segments = (SEGMENT..image.len() - SEGMENT).step_by(SEGMENT);
    let row: Vec<usize> = segments.filter(|at| image[*at..].starts_with(b"HFSEGCKP")).collect();
    assert!(row.len() > 2, "{row:?}");
    // As they were while the checkpoint was begun.
    let opened = |old: &[usize]| {
        let mut image = image.clone();
        for at in old {
            image[*at..][..8].copy_from_slice(b"HFSEGFRE");
        }
        let mut pool = open(image);
        assert!(contents(&mut pool) == model);
        pool.report().damage.iter().map(|damage| (damage.kind, damage.offset as usize)).collect::<Vec<_>>()
    };
    for at in &row {
        assert_eq!(opened(&[*at]), [(DamageKind::Outdated, *at)]);
    }
    assert_eq!(opened(&row[..2]), [(DamageKind::Outdated, ROOT)]);
    // One that has no headers any more is damaged, and not old.
    let mut image = image;
    image[row[0]..][..64].fill(0);
    image[row[0] + SEGMENT - 64..][..64].fill(0);
    let kinds: Vec<_> = open(image).report().damage.iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::Checkpoint, DamageKind::Segment]);
}

#[test]
fn damaged_records_are_met_when_they_are_used() {
    let (image, model) = closed(4 << 20, 1500);
    for number in [0, 700, 1400] {
        let at = image.windows(8).rposition(|window| window == &key(number)[..8.min(key(number).len())]);
        let (Some(at), Some(_)) = (at, model.get(&key(number))) else { continue };
        for place in [at, at - 10, at + key(number).len() + 5] {
            let mut damaged = image.clone();
            damaged[place] ^= 8;
            let mut pool = open(damaged);
            assert!(is_used(&pool) && pool.report().damage.is_empty());
            let mut value = Vec::new();
            let found = pool.turn(|turn| turn.get(&key(number), &mut value)).unwrap().0.unwrap();
            assert!(found.is_none() || value != model[&key(number)]);
            assert!(pool.report().damage.iter().any(|damage| damage.kind == DamageKind::Records));
            // So is it by who does nothing but wait.
            let mut damaged = image.clone();
            damaged[place] ^= 8;
            let mut pool = open(damaged);
            while pool.read_ahead(1).unwrap() {}
            assert!(pool.report().damage.iter().any(|damage| damage.kind == DamageKind::Records));
            // Then no checkpoint hides it.
            let (medium, shutdown) = pool.shut_down().unwrap();
            assert_eq!(shutdown, Shutdown::Damaged);
            let pool = open(medium.image());
            assert!(!pool.report().damage.is_empty());
        }
    }
}

/// A power cut may keep the root's line, and nothing else of what was not fenced before it.
#[test]
fn what_a_root_names_is_durable_before_it() {
    let (pool, model) = filled(4 << 20, 1500);
    let mut domain = Domain::new(pool.medium().image());
    pool.medium().record();
    let events = pool.close().unwrap().record();
    let root = |event: &Event| match event {
        Event::Store { offset, bytes } if *offset == ROOT as u64 && bytes.starts_with(b"HFCHKPNT") => {
            Some(bytes.clone())
        }
        _ => None,
    };
    let (position, root) = events.iter().enumerate().find_map(|(at, event)| Some((at, root(event)?))).unwrap();
    for event in &events[..position] {
        domain.apply(event);
    }
    let mut image = domain.durable().to_vec();
    image[ROOT..ROOT + root.len()].copy_from_slice(&root);
    let mut pool = open(image);
    assert!(matches!(pool.report().checkpoint, Checkpoint::Used { .. }), "{:?}", pool.report());
    assert!(contents(&mut pool) == model);
}

/// A root that was valid once, and whose blocks are all still there, is not of the newest close.
#[test]
fn the_root_of_an_older_close_does_not_count() {
    let (image, mut model) = closed(4 << 20, 1500);
    let mut pool = open(image.clone());
    put(&mut pool, &mut model, 1, b"newer");
    let mut crashed = pool.medium().image();
    crashed[ROOT..ROOT + 64].copy_from_slice(&image[ROOT..ROOT + 64]);
    let mut pool = open(crashed);
    assert!(matches!(pool.report().checkpoint, Checkpoint::Refused { .. }), "{:?}", pool.report());
    assert!(contents(&mut pool) == model);
}

/// What the root says of the log's end is not believed where the log ends otherwise: the records are read.
#[test]
fn a_log_that_lacks_its_close_is_read_as_after_a_crash() {
    let (mut image, model) = closed(4 << 20, 1500);
    let word = |at: usize| u32::from_le_bytes(image[ROOT + at..ROOT + at + 4].try_into().unwrap()) as usize;
    // The segment of the *close*, and its offset in it; segments begin behind the first 64 KiB.
    let close = (64 << 10) + word(16) * SEGMENT + word(20);
    image[close..close + 64].fill(0);
    let mut pool = open(image);
    assert!(matches!(pool.report().checkpoint, Checkpoint::Refused { .. }), "{:?}", pool.report());
    assert!(!pool.report().damage.is_empty(), "{:?}", pool.report());
    assert!(contents(&mut pool) == model);
}

/// An opening takes the root away: even if the mark that it writes is damaged later, the checkpoint is not taken for
/// one of the newest close.
#[test]
fn an_opening_takes_the_root_away() {
    let (image, mut model) = closed(4 << 20, 1500);
    let mut pool = open(image.clone());
    let opened = pool.medium().image();
    let mark = (64 << 10..image.len())
        .step_by(64)
        .find(|at| opened[*at..*at + 64] != image[*at..*at + 64] && opened[*at + 24] == 6);
    // Few enough that no segment is opened, which would give the checkpoint away.
    for number in 0..5 {
        put(&mut pool, &mut model, number, b"newer");
    }
    let mut crashed = pool.medium().image();
    crashed[mark.unwrap()..][..64].fill(0);
    let mut pool = open(crashed);
    assert!(!is_used(&pool) && !pool.report().damage.is_empty(), "{:?}", pool.report());
    assert!(contents(&mut pool) == model);
}

#[test]
fn a_full_pool_closes_without_a_checkpoint() {
    let (mut pool, mut model) = filled(4 << 20, 100);
    let mut number = 1000;
    loop {
        let value = [number as u8; 3];
        match pool.turn(|turn| turn.put(&key(number), &value, None)).unwrap().0 {
            Ok(()) => drop(model.insert(key(number), value.to_vec())),
            Err(Error::Full) => break,
            Err(error) => panic!("{error}"),
        }
        number += 1;
    }
    // However little is free, closing does not fail, and nothing is lost.
    let mut without = 0;
    for round in 0..10u64 {
        let (medium, shutdown) = pool.shut_down().unwrap();
        without += u64::from(matches!(shutdown, Shutdown::TooFull { .. }));
        pool = open(medium.image());
        assert_eq!(is_used(&pool), matches!(shutdown, Shutdown::Checkpoint { .. }));
        assert_eq!(pool.report().tail, Tail::Clean);
        for number in 1000 + round * 200..1200 + round * 200 {
            let value = vec![round as u8; round as usize % 5];
            match pool.turn(|turn| turn.put(&key(number), &value, None)).unwrap().0 {
                Ok(()) => drop(model.insert(key(number), value)),
                Err(Error::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(contents(&mut pool) == model, "round {round}");
    }
    assert!(without > 0, "the pool was never full");
}

#[test]
fn clearing_forgets_the_checkpoint() {
    let (image, _) = closed(4 << 20, 1500);
    let mut pool = open(image);
    pool.turn(|turn| turn.clear()).unwrap().0.unwrap();
    assert!(!pool.read_ahead(1).unwrap());
    let mut model = Model::new();
    put(&mut pool, &mut model, 3, b"after");
    assert!(contents(&mut pool) == model);
    assert_eq!(inspect(pool.medium()).unwrap().segments_checkpoint, 0);
    let mut crashed = open(pool.medium().image());
    assert!(contents(&mut crashed) == model);
    let mut pool = open(pool.close().unwrap().image());
    assert!(is_used(&pool) && contents(&mut pool) == model);
}

#[test]
fn an_empty_pool_leaves_no_checkpoint() {
    let (medium, shutdown) = format(1 << 20).shut_down().unwrap();
    assert_eq!(shutdown, Shutdown::Empty);
    assert_eq!(open(medium.image()).report().checkpoint, Checkpoint::None);
}
