//! Scrubbing finds what has changed, step by step, and nothing else.

use pmem::sim::Memory;
use pmem::{Error, FormatOptions, Medium, Pool, Store};

const KEYS: u32 = 700;

fn filled() -> Pool<Memory> {
    let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([5; 16])).unwrap();
    for round in 0..3u32 {
        for first in (0..KEYS).step_by(7) {
            let put = |turn: &mut pmem::Turn<'_, Memory>| {
                (first..first + 7).try_for_each(|number| turn.put(&number.to_le_bytes(), &value(number, round), None))
            };
            pool.turn(put).unwrap().0.unwrap();
        }
    }
    pool
}

fn value(number: u32, round: u32) -> Vec<u8> {
    [format!("<{round} {number:04}>").as_bytes(), &[number as u8; 150]].concat()
}

/// Ends a pass; returns the most bytes that a step verified.
fn pass(pool: &mut Pool<Memory>, budget: u64) -> u64 {
    let mut most = 0;
    loop {
        let before = pool.scrub_progress().bytes;
        let ended = pool.scrub(budget).unwrap();
        most = most.max(pool.scrub_progress().bytes - before);
        if ended {
            return most;
        }
    }
}

#[test]
fn a_pass_verifies_every_record_in_bounded_steps_and_finds_nothing() {
    let mut pool = filled();
    let used = pool.stats().used_bytes;
    for passes in 1..4 {
        let before = pool.scrub_progress().bytes;
        let most = pass(&mut pool, 4096);
        // A step ends with the frame in which the budget does; the segment that is being filled is one step.
        assert!(most <= 64 << 10, "{most}");
        let progress = pool.scrub_progress();
        assert_eq!((progress.passes, progress.errors, progress.position), (passes, 0, 0));
        assert!(progress.bytes - before > used - (128 << 10), "{progress:?} of {used}");
        // Between passes and in the middle of them the pool lives on.
        for number in 0..200u32 {
            pool.turn(|turn| turn.put(&number.to_le_bytes(), &value(number, 2), None)).unwrap().0.unwrap();
            pool.scrub(2000).unwrap();
        }
        while pool.scrub_progress().position != 0 {
            pool.scrub(50_000).unwrap();
        }
        assert_eq!(pool.scrub_progress().errors, 0);
        pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
        for _ in 0..passes {
            pass(&mut pool, 1 << 20);
        }
    }
}

#[test]
fn a_flipped_bit_is_found_and_costs_its_record_only() {
    let image = filled().medium().image();
    for number in [10, 350, KEYS - 1] {
        let text = format!("<2 {number:04}>");
        let at = image.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() as u64;
        let mut pool = Pool::open(Memory::from(image.clone())).unwrap();
        pass(&mut pool, 4096);
        pool.medium().write(|store| store.store(at + 20, &[0])).unwrap().unwrap();
        // A read does not verify; a pass does.
        let mut found = Vec::new();
        assert!(pool.turn(|turn| turn.get(&number.to_le_bytes(), &mut found)).unwrap().0.is_ok());
        pass(&mut pool, 4096);
        assert_eq!(pool.scrub_progress().errors, 1);
        assert!(pool.report().damage.iter().any(|damage| (damage.offset..damage.offset + damage.len).contains(&at)));
        for restarted in [false, true] {
            for other in 0..KEYS {
                let mut found = Vec::new();
                match pool.turn(|turn| turn.get(&other.to_le_bytes(), &mut found)).unwrap().0 {
                    Ok(meta) => assert!(meta.is_some() && other != number && found == value(other, 2), "{other}"),
                    Err(Error::Damaged { offset }) => assert!(other == number && offset.abs_diff(at) < 200),
                    Err(error) => panic!("{error}"),
                }
            }
            if !restarted {
                pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
            }
        }
        pool.turn(|turn| turn.put(&number.to_le_bytes(), b"new", None)).unwrap().0.unwrap();
        pass(&mut pool, 4096);
        assert_eq!((pool.scrub_progress().errors, pool.stats().lost_keys), (0, 0));
    }
}
