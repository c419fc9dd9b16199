//! Repair: what is whole is kept, what is not is given up, and afterwards the pool knows of no damage.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmem::pool::DamageKind;
use pmem::sim::{Domain, Event, Memory};
use pmem::{FormatOptions, Pool, inspect};

const LEN: usize = 1 << 20;
const SEGMENT: usize = 64 << 10;
const FIRST_SEGMENT: usize = 64 << 10;

type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a pool holds: values, or nothing where one is not readable.
fn contents(pool: &mut Pool<Memory>) -> Model {
    let mut keys = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = pool.turn(|turn| turn.scan(cursor, 500, |key, _| keys.push(key.to_vec()))).unwrap().0.unwrap();
        if cursor == 0 {
            break;
        }
    }
    let mut read = |key: &[u8]| {
        let mut value = Vec::new();
        pool.turn(|turn| turn.get(key, &mut value)).unwrap().0.ok().map(|_| value)
    };
    keys.into_iter().map(|key| (key.clone(), read(&key))).collect()
}

/// A pool of several segments, closed: overwritten and removed keys, and a large value in chunks of 4 KiB.
fn sample() -> Vec<u8> {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    for round in 0..120u32 {
        let (result, _durable) = pool
            .turn(|turn| {
                for number in 0..10u32 {
                    let key = format!("key-{}", (round * 10 + number) * 7919 % 700).into_bytes();
                    turn.put(&key, &vec![round as u8; 100 + number as usize * 20], None)?;
                }
                let large: Vec<u8> = (0..20_000u32).map(|byte| (byte / 100) as u8).collect();
                if round == 60 { turn.put(b"large", &large, None) } else { turn.remove(b"key-7").map(drop) }
            })
            .unwrap();
        result.unwrap();
    }
    pool.close().unwrap().image()
}

/// Damages some places, opens, repairs and opens again.
fn repair(places: &[usize]) -> (Vec<DamageKind>, Model, pmem::pool::Repair, Pool<Memory>) {
    let mut image = sample();
    for place in places {
        image[*place] ^= 0x10;
    }
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    while pool.read_ahead(64).unwrap() {}
    let kinds = pool.report().damage.iter().map(|damage| damage.kind).collect();
    let before = contents(&mut pool);
    let repair = pool.repair().unwrap();
    assert_eq!(pool.report().damage, []);
    assert_eq!(pool.stats().quarantined_bytes, 0);
    let readable: Model =
        before.iter().filter(|(_, value)| value.is_some()).map(|(k, v)| (k.clone(), v.clone())).collect();
    assert!(contents(&mut pool) == readable, "repairing changed what is readable");
    let mut pool = Pool::open(pool.close().unwrap()).unwrap();
    assert_eq!(pool.report().damage, []);
    assert!(contents(&mut pool) == readable, "repairing did not last");
    (kinds, before, repair, pool)
}

/// One of them tells of the other; where both are damaged, the pool's first id is known.
#[test]
fn damaged_history_records_are_written_anew() {
    let history = |pool: &Pool<Memory>| pool.stats().history.unwrap();
    let id = history(&Pool::open(Memory::from(sample())).unwrap()).id;
    for places in [&[200][..], &[LEN - 4096 + 150], &[130, LEN - 4096 + 255], &[50, LEN - 4096 + 150]] {
        let (kinds, _, _, pool) = repair(places);
        assert_eq!(kinds.len(), places.len());
        assert!(kinds.contains(&DamageKind::History), "{kinds:?}");
        assert_eq!(history(&pool).id, id);
        let image = pool.medium().image();
        assert!(image[..4096] == image[LEN - 4096..]);
    }
}

#[test]
fn whole_records_leave_damaged_segments() {
    let places = [FIRST_SEGMENT + 5000, FIRST_SEGMENT + 40_000, FIRST_SEGMENT + SEGMENT + 333];
    let (kinds, _, repair, mut pool) = repair(&places);
    assert_eq!(kinds, [DamageKind::Records; 3]);
    assert_eq!((repair.segments_freed, repair.damage.len()), (2, 3));
    assert!(repair.bytes_moved > 0 && repair.keys_removed.is_empty());
    // All of the room is there again.
    let fresh = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    assert!(pool.stats().capacity_bytes * 10 > fresh.stats().capacity_bytes * 9);
    pool.turn(|turn| turn.put(b"new", b"value", None)).unwrap().0.unwrap();
}

#[test]
fn superblocks_and_headers_are_written_again() {
    for place in [20, LEN - 4096 + 20] {
        let (kinds, before, repair, _) = repair(&[place]);
        assert_eq!((kinds, repair.segments_freed), (vec![DamageKind::Superblock], 0));
        assert_eq!(before.len(), 701 - 1);
    }
    let (kinds, ..) = repair(&[FIRST_SEGMENT + 20]);
    assert_eq!(kinds, [DamageKind::SegmentHeader]);
    let (kinds, _, repair, _) = repair(&[FIRST_SEGMENT + 20, FIRST_SEGMENT + SEGMENT - 40]);
    assert_eq!((kinds, repair.segments_freed), (vec![DamageKind::Segment], 1));
}

#[test]
fn a_key_whose_value_lost_a_part_is_removed_and_named() {
    let image = sample();
    let chunk = image.windows(64).position(|window| window == [150; 64]).unwrap();
    let (kinds, before, repair, _) = repair(&[chunk]);
    assert!(kinds.contains(&DamageKind::Value), "{kinds:?}");
    assert_eq!(before[b"large".as_slice()], None);
    assert_eq!(repair.keys_removed, [b"large".to_vec()]);
}

#[test]
fn a_power_cut_in_a_repair_loses_nothing() {
    let mut image = sample();
    for place in [FIRST_SEGMENT + 5000, FIRST_SEGMENT + SEGMENT + 333, LEN - 4096 + 20] {
        image[place] ^= 0x10;
    }
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    let expected = contents(&mut pool);
    let mut domain = Domain::new(pool.medium().image());
    pool.medium().record();
    pool.repair().unwrap();
    let mut generator = Rng::with_seed(1);
    let mut random = |below| generator.u64(..below);
    for event in pool.medium().record() {
        if event == Event::Fence {
            for words in domain.images(6, &mut random) {
                let mut pool = Pool::open(Memory::from(domain.image(&words))).unwrap();
                assert!(contents(&mut pool) == expected);
                pool.repair().unwrap();
                let medium = pool.close().unwrap();
                assert_eq!(inspect(&medium).unwrap().report.damage, []);
            }
        }
        domain.apply(&event);
    }
}
