//! DRAM that is not there: a pool refuses new keys, opens or says what it needs, and goes on with everything else.
//!
//! The allocator fails for a thread that has used up what it may have, so a piece that is asked for where that cannot
//! fail ends the test program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;

use pmem::pool::{Checkpoint, Shutdown};
use pmem::sim::Memory;
use pmem::{Error, FormatOptions, Op, Pool, Turn, ValueType};

const MIB: u64 = 1 << 20;
/// What counters and the table of segments of the largest pool here take, in bytes.
const LEAST: u64 = (128 << 10) + 64 * 64;
/// Pieces up to this length, in bytes, may go over what a thread may have: what does not grow with the pool is not
/// asked for with care.
const SMALL: usize = 1 << 10;

thread_local! {
    /// How many bytes this thread may still take.
    static LEFT: Cell<isize> = const { Cell::new(isize::MAX) };
}

struct Scarce;

// SAFETY: every call goes to the system's allocator, or fails, which the contract allows.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let left = LEFT.get() - layout.size() as isize;
        if left < 0 && layout.size() > SMALL {
            return std::ptr::null_mut();
        }
        LEFT.set(left);
        // SAFETY: the caller promises what `GlobalAlloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LEFT.set(LEFT.get().saturating_add(layout.size() as isize));
        // SAFETY: as above; the piece is the system's, for all of ours are.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static SCARCE: Scarce = Scarce;

/// Runs `act` with at most `bytes` of DRAM more than there is in use now.
fn with_at_most<R>(bytes: u64, act: impl FnOnce() -> R) -> R {
    // A test that fails has to say so, for which it needs memory.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            LEFT.set(isize::MAX);
            usual(panic);
        }));
    });
    LEFT.set(bytes as isize);
    let result = act();
    LEFT.set(isize::MAX);
    result
}

fn fresh(len: u64) -> Pool<Memory> {
    Pool::format(Memory::new(len), &FormatOptions::new([3; 16])).unwrap()
}

fn turn<R>(pool: &mut Pool<Memory>, f: impl FnOnce(&mut Turn<'_, Memory>) -> Result<R, Error>) -> Result<R, Error> {
    pool.turn(f)?.0
}

/// Lets a pool take so much more DRAM than it has. Returns how much that is.
fn limit(pool: &mut Pool<Memory>, more: u64) -> u64 {
    let memory = pool.stats().index_bytes + pool.stats().other_bytes + more;
    pool.limit_memory(memory);
    memory
}

fn key(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// Puts new keys, a few in each turn, until that is refused. Returns how many are there.
fn fill(pool: &mut Pool<Memory>, from: u32) -> (u32, Error) {
    let mut count = from;
    loop {
        let result = turn(pool, |turn| {
            for _ in 0..50 {
                turn.put(&key(count), b"value", None)?;
                count += 1;
            }
            Ok(())
        });
        if let Err(error) = result {
            return (count, error);
        }
    }
}

/// Reads all that an opening left for later.
fn read_all(mut pool: Pool<Memory>) -> Result<(), Error> {
    while pool.read_ahead(1)? {}
    Ok(())
}

/// Every key up to `count` has this value.
fn expect_all(pool: &mut Pool<Memory>, count: u32, expected: &[u8]) {
    let mut value = Vec::with_capacity(16);
    for number in 0..count {
        value.clear();
        assert!(turn(pool, |turn| turn.get(&key(number), &mut value)).unwrap().is_some(), "{number}");
        assert_eq!(value, expected, "{number}");
    }
}

fn remove(pool: &mut Pool<Memory>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert!(turn(pool, |turn| turn.remove(&key(number))).unwrap(), "{number}");
    }
}

#[test]
fn many_small_keys_end_in_an_error_and_not_in_an_allocation_that_fails() {
    let mut pool = fresh(8 * MIB);
    turn(&mut pool, |turn| turn.put(b"first", &[1; 100], None)).unwrap();
    limit(&mut pool, MIB);
    let image = with_at_most(2 * MIB, || {
        let (count, error) = fill(&mut pool, 0);
        assert_eq!(error, Error::IndexFull);
        assert!(count > 60_000, "{count}");
        // What was provided for the turn that was refused takes a few more.
        let (count, error) = fill(&mut pool, count);
        assert_eq!(error, Error::IndexFull);
        assert_eq!(
            turn(&mut pool, |turn| turn.put(b"first", &[2; 100], None)),
            Ok(()),
            "keys that are there are written"
        );
        for number in 0..count {
            turn(&mut pool, |turn| turn.put(&key(number), b"newer", None)).unwrap();
        }
        expect_all(&mut pool, count, b"newer");
        remove(&mut pool, 0..count / 4);
        let (more, error) = fill(&mut pool, count);
        assert_eq!(error, Error::IndexFull);
        assert!(more > count + count / 20, "{more} of {count}");
        remove(&mut pool, count / 4..more);
        assert_eq!(pool.stats().keys, 1);
        assert!(pool.stats().segments_cleaned > 0);
        turn(&mut pool, |turn| turn.clear()).unwrap();
        fill(&mut pool, 0);
        let (medium, shutdown) = pool.shut_down().unwrap();
        assert!(matches!(shutdown, Shutdown::Checkpoint { .. }), "{shutdown:?}");
        medium
    });
    // What was written with so little memory is opened with as little.
    with_at_most(2 * MIB, || {
        let mut pool = Pool::open_within(image, MIB + LEAST).unwrap();
        let count = pool.stats().keys as u32;
        expect_all(&mut pool, count, b"value");
        assert_eq!(fill(&mut pool, count).1, Error::IndexFull);
        remove(&mut pool, 0..count);
    });
}

#[test]
fn an_allocation_that_fails_is_an_error_for_the_new_key_only() {
    let mut pool = fresh(16 * MIB);
    with_at_most(2 * MIB, || {
        let (count, error) = fill(&mut pool, 0);
        assert!(error == Error::IndexFull && count > 100_000, "{count}: {error}");
        expect_all(&mut pool, count, b"value");
        turn(&mut pool, |turn| turn.put(&key(0), b"newer", None)).unwrap();
        turn(&mut pool, |turn| turn.clear()).unwrap();
        assert!(fill(&mut pool, 0).0 > count / 2);
    });
}

/// A record that is too long for a frame is done or refused, however little DRAM there is: none of it is left out.
#[test]
fn a_long_record_without_memory_is_refused_whole() {
    let options = FormatOptions { segment_size: Some(64 << 10), ..FormatOptions::new([3; 16]) };
    let mut pool = Pool::format(Memory::new(8 * MIB), &options).unwrap();
    let keys = |first: u32| (first..first + 40).map(|number| [number as u8; 2000]).collect::<Vec<_>>();
    // What a turn takes and keeps is there before.
    let first = keys(0);
    turn(&mut pool, |turn| turn.atomically(&puts(&first))).unwrap();
    let mut said = [0; 2];
    for memory in (0..8 << 10).step_by(512) {
        let names = keys(40);
        let ops = puts(&names);
        let done = with_at_most(memory, || turn(&mut pool, |turn| turn.atomically(&ops)));
        for key in &names {
            assert_eq!(turn(&mut pool, |turn| turn.contains(key)).unwrap(), done.is_ok(), "{memory}: {done:?}");
        }
        match done {
            Ok(()) => names.iter().for_each(|key| assert!(turn(&mut pool, |turn| turn.remove(key)).unwrap())),
            Err(ref error) => assert!(matches!(error, Error::NoMemory { .. } | Error::IndexFull), "{error}"),
        }
        said[usize::from(done.is_ok())] += 1;
    }
    assert!(said[0] > 0, "{said:?}");
    turn(&mut pool, |turn| turn.atomically(&puts(&keys(40)))).unwrap();
    assert_eq!(turn(&mut pool, |turn| turn.len()).unwrap(), 80);
}

fn puts(keys: &[[u8; 2000]]) -> Vec<Op<'_>> {
    keys.iter()
        .map(|key| Op::Put { key, value: b"value", value_type: ValueType::STRING, expires_at_ms: None })
        .collect()
}

/// A checkpoint keeps a table as large as it was with more keys; where it does not fit, the records may.
#[test]
fn a_checkpoint_that_does_not_fit_is_passed_over_for_the_records() {
    const KEPT: u32 = 15_000;
    let mut pool = fresh(16 * MIB);
    for number in 0..KEPT * 4 {
        turn(&mut pool, |turn| turn.put(&key(number), b"value", None)).unwrap();
    }
    remove(&mut pool, KEPT..KEPT * 4);
    let sparse = pool.stats().index_bytes;
    let image = pool.close().unwrap().image();
    let memory = LEAST + sparse / 2;
    let mut pool = Pool::open_within(Memory::from(image), memory).unwrap();
    assert!(matches!(pool.report().checkpoint, Checkpoint::Refused { .. }), "{:?}", pool.report());
    assert_eq!(pool.stats().keys, u64::from(KEPT));
    assert!(pool.stats().index_bytes <= sparse / 2 / 8 * 9);
    expect_all(&mut pool, KEPT, b"value");
}

/// What a clearing makes void is not read first, so a checkpoint that is damaged, and no DRAM to read the records in
/// place of it, are nothing to it.
#[test]
fn a_pool_whose_checkpoint_is_damaged_is_cleared_and_written_without_memory_to_read_it() {
    let mut pool = fresh(8 * MIB);
    for number in 0..10_000 {
        turn(&mut pool, |turn| turn.put(&key(number), b"value", None)).unwrap();
    }
    let image = pool.close().unwrap().image();
    let segment = (0..image.len()).step_by(4096).find(|at| image[*at..*at + 8] == *b"HFSEGCKP").unwrap();
    let written = (segment..segment + (64 << 10)).rev().find(|place| image[*place] != 0).unwrap();
    let mut used = 0;
    for place in (segment + 4096..written).step_by(12_289) {
        let mut damaged = image.clone();
        damaged[place] ^= 1;
        let mut pool = Pool::open(Memory::from(damaged)).unwrap();
        used += u32::from(matches!(pool.report().checkpoint, Checkpoint::Used { .. }));
        with_at_most(64 << 10, || {
            turn(&mut pool, |turn| {
                turn.clear()?;
                (0..50).try_for_each(|number| turn.put(&key(number), b"newer", None))
            })
        })
        .unwrap();
        assert_eq!(turn(&mut pool, |turn| turn.len()).unwrap(), 50, "{place:#x}");
        expect_all(&mut pool, 50, b"newer");
    }
    assert!(used > 2, "{used}");
}

/// A pool that was left without a shutdown has entries for keys that are there and for removals.
#[test]
fn removals_that_do_not_fit_beside_the_keys_are_read_in_parts() {
    let mut pool = fresh(16 * MIB);
    let memory = limit(&mut pool, MIB / 2);
    let (count, _) = fill(&mut pool, 0);
    remove(&mut pool, 0..count);
    let (kept, error) = fill(&mut pool, count);
    assert!(error == Error::IndexFull && kept - count > count / 2, "{count} to {kept}");
    let image = pool.medium().image();
    let mut all = Pool::open(Memory::from(image.clone())).unwrap();
    let needed = all.stats().index_bytes;
    let medium = Memory::from(image);
    let mut pool = with_at_most(6 * MIB, || Pool::open_within(medium, memory)).unwrap();
    assert_eq!(pool.report(), all.report());
    assert!(pool.stats().index_bytes < needed + needed / 8);
    let mut value = Vec::new();
    for number in 0..kept {
        let there = turn(&mut pool, |turn| turn.get(&key(number), &mut value)).unwrap().is_some();
        assert_eq!(there, number >= count, "{number}");
    }
    assert_eq!(turn(&mut pool, |turn| turn.len()), turn(&mut all, |turn| turn.len()));
}

#[test]
fn an_opening_without_memory_enough_says_how_much_it_needs() {
    let mut pool = fresh(32 * MIB);
    for first in (0..50_000).step_by(1000) {
        turn(&mut pool, |turn| (first..first + 1000).try_for_each(|number| turn.put(&key(number), b"value", None)))
            .unwrap();
    }
    let taken = pool.stats().index_bytes + LEAST;
    let unclean = pool.medium().image();
    for image in [unclean, pool.close().unwrap().image()] {
        let open = |memory: u64| Pool::open_within(Memory::from(image.clone()), memory);
        for memory in [0, LEAST, taken / 2, taken / 4 * 3] {
            let Err(Error::NoMemory { needed }) = open(memory) else { panic!("opened with {memory} of {taken}") };
            assert!(needed > memory && (memory < LEAST || needed > taken / 2) && needed < taken * 2, "{needed}");
        }
        let mut pool = open(taken / 8 * 9).unwrap();
        expect_all(&mut pool, 1000, b"value");
        // And where the allocator is what fails.
        let medium = Memory::from(image);
        let result = with_at_most(taken / 2, || Pool::open(medium).map(read_all));
        assert!(matches!(result, Err(Error::NoMemory { .. }) | Ok(Err(Error::NoMemory { .. }))));
    }
}
