//! What one CPU unmaps, no other one sees any more, even if it rested meanwhile.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread::Builder;

use crate::guest::{cpus, go_to, roam};

/// Stacks of two sizes, so that a thread of one size never gets a stack that one of the other size has left behind.
const SMALL: usize = 128 << 10;
const LARGE: usize = 256 << 10;

/// Threads on one CPU leave stacks behind; the boot CPU unmaps them while that CPU rests, and maps other memory in their
/// place. A thread that starts there and then moves to the rested CPU has to find its own memory.
pub(crate) fn unmapped() {
    go_to(0);
    for cpu in 1..cpus() {
        for (first, second) in [(SMALL, LARGE), (LARGE, SMALL)] {
            // Fewer than are kept unused, so that nothing is unmapped yet.
            at_once(8, first, cpu, cpu);
            // More than are kept: the boot CPU unmaps the surplus, those of before among it.
            at_once(64, second, 0, 0);
            at_once(64, second, 0, cpu);
        }
    }
    roam();
}

/// Runs this many threads, all alive at the same time, that start on one CPU and end on another.
fn at_once(count: usize, stack: usize, start: u32, end: u32) {
    let barrier = Arc::new(Barrier::new(count));
    let spawn = |number| {
        let barrier = barrier.clone();
        let run = move || {
            go_to(start);
            let mine = black_box([number as u64; 512]);
            barrier.wait();
            go_to(end);
            assert!(black_box(&mine).iter().all(|&word| word == number as u64), "a stack changed on its way");
        };
        Builder::new().stack_size(stack).spawn(run).expect("memory for a thread")
    };
    let threads: Vec<_> = (0..count).map(spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}
