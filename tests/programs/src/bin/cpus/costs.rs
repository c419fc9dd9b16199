//! What threads cost, in time and in what the CPUs do to each other.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use libos::task::{Statistics, statistics};

/// Prints one line for each kind of work.
pub(crate) fn print() {
    println!(
        "cpus: {:24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "us each", "switches", "moves", "calls", "flushes", "IPIs"
    );
    let turns = 10_000;
    measure("spawn and join", turns, || (0..turns).for_each(|_| thread::spawn(|| ()).join().unwrap()));
    measure("a hundred at a time", 2000, || {
        for _ in 0..20 {
            let barrier = Barrier::new(100);
            thread::scope(|scope| (0..100).for_each(|_| drop(scope.spawn(|| barrier.wait()))));
        }
    });
    measure("ping-pong", 10_000, || ping_pong(10_000));
    measure("two ping-pongs", 10_000, || {
        thread::scope(|scope| {
            scope.spawn(|| ping_pong(5000));
            ping_pong(5000);
        });
    });
    measure("ping-pong and spinners", 10_000, || {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        black_box(())
                    }
                });
            }
            ping_pong(10_000);
            done.store(true, Ordering::Relaxed);
        });
    });
}

fn measure(name: &str, turns: u64, work: impl FnOnce()) {
    let (before, start) = (statistics(), Instant::now());
    work();
    let time = start.elapsed().as_micros() as f64 / turns as f64;
    let after = statistics();
    let numbers = |counts: Statistics| {
        [counts.switches, counts.migrations, counts.calls, counts.shootdowns, counts.shootdown_interrupts]
    };
    print!("cpus: {name:24} {time:9.1}");
    numbers(after).iter().zip(numbers(before)).for_each(|(after, before)| print!(" {:9}", after - before));
    println!();
}

/// Two threads that wake each other in turn.
fn ping_pong(turns: u32) {
    let (turn, changed) = (&Mutex::new(0), &Condvar::new());
    thread::scope(|scope| {
        for player in [0, 1] {
            scope.spawn(move || {
                for _ in 0..turns / 2 {
                    let mut guard = changed.wait_while(turn.lock().unwrap(), |turn| *turn % 2 != player).unwrap();
                    *guard += 1;
                    changed.notify_one();
                }
            });
        }
    });
}
