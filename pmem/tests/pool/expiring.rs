//! How many keys have an expiry, and when on average, is known at any time.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{FormatOptions, Pool};

/// What a pool says of its keys with an expiry.
fn counted(pool: &Pool<Memory>) -> (Option<u64>, Option<u64>) {
    let stats = pool.stats();
    (stats.expiring_keys, stats.mean_expiry_ms)
}

/// The same, reckoned.
fn expected(model: &BTreeMap<String, Option<u64>>) -> (Option<u64>, Option<u64>) {
    let times: Vec<u64> = model.values().filter_map(|at| *at).collect();
    let count = times.len() as u64;
    (Some(count), times.iter().sum::<u64>().checked_div(count))
}

#[test]
fn keys_with_an_expiry_are_counted_through_all_that_becomes_of_them() {
    let mut pool = Pool::format(Memory::new(4 << 20), &FormatOptions::new([5; 16])).unwrap();
    let mut model = BTreeMap::new();
    let mut generator = Rng::with_seed(1);
    let mut random = |below| generator.u64(..below);
    for round in 0..600 {
        let ((), _durable) = pool
            .turn(|turn| {
                for _ in 0..20 {
                    let key = format!("key-{}", random(500));
                    if random(4) == 0 {
                        turn.remove(key.as_bytes()).unwrap();
                        model.remove(&key);
                        continue;
                    }
                    let at = (random(2) == 0).then(|| 1_700_000_000_000 + random(1_000_000));
                    let len = if random(10) == 0 { 9000 } else { 300 };
                    turn.put(key.as_bytes(), &vec![1; len], at).unwrap();
                    model.insert(key, at);
                }
                if round == 100 {
                    turn.clear().unwrap();
                    model.clear();
                }
            })
            .unwrap();
        assert_eq!(counted(&pool), expected(&model), "round {round}");
        pool = match round % 200 {
            // A power cut, and a shutdown with a checkpoint.
            50 => Pool::open(Memory::from(pool.medium().image())).unwrap(),
            150 => Pool::open(pool.close().unwrap()).unwrap(),
            _ => continue,
        };
        assert_eq!(counted(&pool), expected(&model), "opened after round {round}");
    }
    assert!(pool.stats().segments_cleaned > 0);
}
