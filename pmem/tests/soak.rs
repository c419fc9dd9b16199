//! A long life by volume: a pool that is nearly full is overwritten fifty times over, and costs the same at the end as
//! in the beginning. Counted in bytes, not in time.

use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{Error, FormatOptions, Pool};

const LEN: u64 = 4 << 20;
const VALUE: usize = 200;
/// How often the medium's length is written: fewer times where the compiler does not optimise.
const TIMES: u64 = if cfg!(debug_assertions) { 5 } else { 50 };

/// Fills a pool to `percent` of its capacity, overwrites random keys, and returns the bytes that cleaning moved per
/// byte written, in each tenth of the run.
fn soak(percent: u64) -> Vec<f64> {
    let mut pool = Pool::format(Memory::new(LEN), &FormatOptions::new([5; 16])).unwrap();
    let put = |pool: &mut Pool<Memory>, keys: &[u64], byte: u8| {
        let put = |turn: &mut pmem::Turn<'_, Memory>| {
            keys.iter().try_for_each(|key| turn.put(&key.to_le_bytes(), &[byte; VALUE], None))
        };
        pool.turn(put).unwrap().0.unwrap();
    };
    let mut keys = 0;
    while pool.stats().live_bytes * 100 < pool.stats().capacity_bytes * percent {
        put(&mut pool, &[keys], 0);
        keys += 1;
    }
    let mut generator = Rng::with_seed(percent);
    let mut random = |below| generator.u64(..below);
    let mut rates = Vec::new();
    let tenth = LEN * TIMES / 10;
    for number in 0..10u8 {
        let before = pool.stats();
        let mut written = 0;
        while written < tenth {
            let turn: Vec<u64> = (0..16).map(|_| random(keys)).collect();
            put(&mut pool, &turn, number);
            written += 16 * (VALUE as u64 + 8);
        }
        let after = pool.stats();
        assert_eq!(after.keys, keys);
        rates.push((after.bytes_moved - before.bytes_moved) as f64 / written as f64);
    }
    let again = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert_eq!((again.stats().keys, again.report().damage.len()), (keys, 0));
    println!("{percent} % full: bytes moved per byte written, by tenths: {rates:.2?}");
    rates
}

#[test]
fn fifty_times_the_pool_costs_the_same_at_the_end_as_in_the_beginning() {
    for (percent, most) in [(80, 4.0), (90, 8.0)] {
        let rates = soak(percent);
        let steady = &rates[1..];
        let (least, largest) =
            steady.iter().fold((f64::MAX, 0f64), |(least, largest), rate| (least.min(*rate), largest.max(*rate)));
        assert!(largest < most, "{percent} %: {rates:?}");
        assert!(largest < least * 1.25, "{percent} %: {rates:?}");
    }
}

#[test]
fn a_full_pool_refuses_and_removing_makes_it_usable() {
    let mut pool = Pool::format(Memory::new(LEN), &FormatOptions::new([5; 16])).unwrap();
    for round in 0..3 {
        let mut keys = 0u64;
        let full = loop {
            match pool.turn(|turn| turn.put(&keys.to_le_bytes(), &[1; VALUE], None)).unwrap().0 {
                Ok(()) => keys += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full, Error::Full, "round {round}");
        for key in 0..keys {
            assert!(pool.turn(|turn| turn.remove(&key.to_le_bytes())).unwrap().0.unwrap());
        }
        assert_eq!(pool.stats().keys, 0);
    }
}
