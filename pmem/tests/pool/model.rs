//! Long random runs, compared with a map: cleaning, removals that must outlive what they shadow, and reopening with and
//! without a clean shutdown.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{FormatOptions, Pool};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(pool: &mut Pool<Memory>) -> Model {
    let mut contents = Model::new();
    let mut cursor = 0;
    loop {
        let mut keys = Vec::new();
        cursor = pool.turn(|turn| turn.scan(cursor, 500, |key, _| keys.push(key.to_vec()))).unwrap().0.unwrap();
        for key in keys {
            let mut value = Vec::new();
            pool.turn(|turn| turn.get(&key, &mut value)).unwrap().0.unwrap().unwrap();
            contents.insert(key, value);
        }
        if cursor == 0 {
            return contents;
        }
    }
}

/// Cold keys that are rarely touched, hot ones that come and go: superseded puts in old segments, removals in new ones.
#[test]
fn hot_and_cold_keys_agree_with_a_map_over_many_lives() {
    for seed in 0..5 {
        let mut random = Rng::with_seed(seed);
        let mut pool = Pool::format(Memory::new(700 << 10), &FormatOptions::new([5; 16])).unwrap();
        let mut model = Model::new();
        let mut cleaned = 0;
        for life in 0..15 {
            for _ in 0..350 {
                let (result, _durable) = pool
                    .turn(|turn| {
                        for _ in 0..random.u64(..6) {
                            let hot = random.u64(..10) < 8;
                            let number = if hot { random.u64(..40) } else { 1000 + random.u64(..400) };
                            let key = format!("key-{number}").into_bytes();
                            if random.u64(..5) < 2 {
                                assert_eq!(turn.remove(&key)?, model.remove(&key).is_some());
                            } else {
                                let value =
                                    vec![random.u64(..256) as u8; random.u64(..if hot { 600 } else { 200 }) as usize];
                                turn.put(&key, &value, None)?;
                                model.insert(key, value);
                            }
                        }
                        Ok::<(), pmem::Error>(())
                    })
                    .unwrap();
                result.unwrap();
            }
            let stats = pool.stats();
            cleaned += stats.segments_cleaned;
            let medium = if life % 3 == 0 { pool.close().unwrap() } else { Memory::from(pool.medium().image()) };
            pool = Pool::open(medium).unwrap();
            assert_eq!(pool.report().damage, []);
            assert_eq!(pool.stats().live_bytes, stats.live_bytes, "seed {seed}, life {life}");
            assert!(contents(&mut pool) == model, "seed {seed}, life {life}");
        }
        assert!(cleaned > 20, "{cleaned}");
    }
}

/// Space comes back: after any amount of churn the pool still takes as much as a fresh one.
#[test]
fn no_space_leaks() {
    let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([5; 16])).unwrap();
    let capacity = pool.stats().capacity_bytes;
    let mut random = Rng::with_seed(3);
    for _ in 0..20_000 {
        let key = random.u64(..300).to_le_bytes();
        let (result, _durable) = pool
            .turn(|turn| match random.u64(..3) {
                0 => turn.remove(&key).map(drop),
                _ => turn.put(&key, &vec![1; random.u64(..900) as usize], None),
            })
            .unwrap();
        result.unwrap();
    }
    for key in 0..300u64 {
        pool.turn(|turn| turn.remove(&key.to_le_bytes())).unwrap().0.unwrap();
    }
    assert_eq!(pool.stats().live_bytes, 0);
    let mut bytes = 0;
    let mut number = 0u32;
    let error = loop {
        let key = [b"fresh".as_slice(), &number.to_le_bytes()].concat();
        if let Err(error) = pool.turn(|turn| turn.put(&key, &[1; 500], None)).unwrap().0 {
            break error;
        }
        bytes += 540;
        number += 1;
    };
    assert_eq!(error, pmem::Error::Full);
    assert!(bytes * 10 > capacity * 9, "{bytes} of {capacity}");
}

/// A put in a segment that stays, superseded by one in a segment that is cleaned, and removed: the removal must stay as
/// long as the first put does, even if that was counted by recovery and not by the turn that superseded it.
#[test]
fn a_removal_outlives_every_put_that_it_shadows() {
    let put = |pool: &mut Pool<Memory>, key: &[u8], len: usize| {
        pool.turn(|turn| turn.put(key, &vec![1; len], None)).unwrap().0.unwrap();
    };
    let reopen = |pool: Pool<Memory>| Pool::open(pool.close().unwrap()).unwrap();
    for reopened in [false, true] {
        let mut pool = Pool::format(Memory::new(700 << 10), &FormatOptions::new([5; 16])).unwrap();
        // A segment of cold keys, with the first put of the victim among them.
        put(&mut pool, b"victim", 10);
        for number in 0..145u64 {
            // Seven whole lines: the segment has nothing to win for cleaning.
            put(&mut pool, &number.to_le_bytes(), 408);
        }
        put(&mut pool, b"fills what is left of the segment", 400);
        put(&mut pool, b"victim", 20);
        if reopened {
            pool = reopen(pool);
        }
        assert!(pool.turn(|turn| turn.remove(b"victim")).unwrap().0.unwrap());
        assert!(pool.turn(|turn| turn.remove(b"fills what is left of the segment")).unwrap().0.unwrap());
        // Hot keys, until every segment but the cold one was cleaned often.
        let mut number = 0u64;
        while pool.stats().segments_cleaned < 40 {
            let key = (1000 + number % 20).to_le_bytes();
            put(&mut pool, &key, 900);
            assert!(pool.turn(|turn| turn.remove(&key)).unwrap().0.unwrap());
            number += 1;
        }
        pool = reopen(pool);
        assert!(!contents(&mut pool).contains_key(b"victim".as_slice()), "reopened in between: {reopened}");
    }
}
