//! Threads: start, end, what each has of its own, and that none can keep the others from running.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("join-returns-the-result", join_returns_the_result),
    ("a-hundred-threads", a_hundred_threads),
    ("ten-thousand-threads-in-turn", many_in_turn),
    ("scoped-threads-borrow", scoped),
    ("thread-locals-are-their-own", thread_locals),
    ("thread-locals-are-dropped-before-join-returns", thread_local_destructors),
    ("names-and-identifiers", names),
    ("park-and-unpark", park),
    ("an-unpark-before-the-park-is-not-lost", unpark_first),
    ("park-gives-up-at-its-timeout", park_timeout),
    ("stacks-are-as-large-as-asked", stacks),
    ("a-spinning-thread-does-not-starve-others", preemption),
    ("floating-point-survives-preemption", floating_point),
    ("detached-threads-run-on", detached),
];

fn join_returns_the_result() {
    let thread = thread::spawn(|| (1..=100).sum::<u64>());
    assert_eq!(thread.join().unwrap(), 5050);
    let thread = thread::spawn(|| ());
    while !thread.is_finished() {
        thread::yield_now();
    }
    thread.join().unwrap();
}

fn a_hundred_threads() {
    let started = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..100)
        .map(|number| {
            let started = started.clone();
            thread::spawn(move || {
                started.fetch_add(1, Ordering::SeqCst);
                // All of them are there at the same time.
                while started.load(Ordering::SeqCst) < 100 {
                    thread::yield_now();
                }
                number
            })
        })
        .collect();
    let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 4950);
}

fn many_in_turn() {
    // What a thread leaves behind would add up: its stack alone is a mebibyte.
    for round in 0..10_000 {
        assert_eq!(thread::spawn(move || round).join().unwrap(), round);
    }
}

fn scoped() {
    let mut values = vec![1, 2, 3, 4];
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for part in values.chunks_mut(2) {
            let sum = &sum;
            scope.spawn(move || {
                part.iter_mut().for_each(|value| *value *= 10);
                sum.fetch_add(part.iter().sum(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!((values, sum.into_inner()), (vec![10, 20, 30, 40], 100));
}

thread_local! {
    static COUNTER: Cell<u32> = const { Cell::new(7) };
    static LAZY: String = format!("made by {:?}", thread::current().id());
}

fn thread_locals() {
    COUNTER.set(1);
    thread::spawn(|| {
        assert_eq!(COUNTER.get(), 7);
        COUNTER.set(2);
        assert_eq!(LAZY.with(String::clone), format!("made by {:?}", thread::current().id()));
    })
    .join()
    .unwrap();
    assert_eq!(COUNTER.get(), 1);
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        // A destructor that takes its time shows a join that returns too early.
        thread::sleep(Duration::from_millis(20));
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

fn thread_local_destructors() {
    thread_local!(static GUARD: Counted = const { Counted });
    for round in 1..=5 {
        thread::spawn(|| GUARD.with(|_| ())).join().unwrap();
        assert_eq!(DROPPED.load(Ordering::SeqCst), round);
    }
}

fn names() {
    let main = thread::current().id();
    let thread = thread::Builder::new().name("named".into()).spawn(|| {
        assert_eq!(thread::current().name(), Some("named"));
        thread::current().id()
    });
    let named = thread.unwrap();
    assert_eq!(named.thread().name(), Some("named"));
    assert_ne!(named.join().unwrap(), main);
    assert_eq!(thread::current().id(), main);
}

fn park() {
    let go = Arc::new(AtomicBool::new(false));
    let waiter = {
        let go = go.clone();
        thread::spawn(move || {
            while !go.load(Ordering::SeqCst) {
                thread::park();
            }
        })
    };
    thread::sleep(Duration::from_millis(10));
    go.store(true, Ordering::SeqCst);
    waiter.thread().unpark();
    waiter.join().unwrap();
}

fn unpark_first() {
    thread::current().unpark();
    thread::park();
}

fn park_timeout() {
    let before = Instant::now();
    while before.elapsed() < Duration::from_millis(30) {
        thread::park_timeout(Duration::from_millis(30));
    }
}

/// Uses `depth` times a kibibyte of stack.
#[inline(never)]
fn descend(depth: usize) -> usize {
    let frame = black_box([depth as u8; 1024]);
    if depth == 0 { 0 } else { descend(depth - 1) + usize::from(black_box(&frame)[depth % 1024] == depth as u8) }
}

fn stacks() {
    for (size, depth) in [(16 << 10, 2), (256 << 10, 60), (8 << 20, 2000)] {
        let thread = thread::Builder::new().stack_size(size).spawn(move || descend(depth)).unwrap();
        assert_eq!(thread.join().unwrap(), depth);
    }
}

fn preemption() {
    let stop = Arc::new(AtomicBool::new(false));
    let spinning: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut turns = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    // The sleeper came back to stop them, although none of them ever gave way.
    spinning.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
}

/// A value that depends on every bit of a long computation: the logistic map, chaotic at this parameter.
#[inline(never)]
fn logistic(seed: f64, rounds: u32) -> u64 {
    let mut values = [seed, seed / 2.0, seed / 3.0, seed / 5.0, seed / 7.0, seed / 11.0, seed / 13.0, seed / 17.0];
    for _ in 0..rounds {
        for value in &mut values {
            *value = 3.99 * *value * (1.0 - *value);
        }
    }
    values.iter().fold(0, |all, value| all.rotate_left(7) ^ value.to_bits())
}

fn floating_point() {
    const ROUNDS: u32 = 400_000;
    let seeds = [0.1, 0.2, 0.3, 0.4];
    let alone = seeds.map(|seed| logistic(seed, ROUNDS));
    let threads = seeds.map(|seed| thread::spawn(move || logistic(seed, ROUNDS)));
    assert_eq!(threads.map(|thread| thread.join().unwrap()), alone);
}

fn detached() {
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    drop(thread::spawn(move || seen.store(true, Ordering::SeqCst)));
    while !done.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}
