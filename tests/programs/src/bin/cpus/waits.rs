//! Threads that wait, and those who wake them on other CPUs.

use std::hint::spin_loop;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use libos::task::{FutexError, WaitQueue, futex_wait, futex_wake};

use crate::guest::cpus;

/// Who was woken may wait for something else before the waker is done, and that wait lasts until its own wake.
pub(crate) fn woken_once() {
    thread::scope(|scope| {
        for _ in 0..cpus().div_ceil(2) {
            scope.spawn(two_waits_each_round);
        }
    });
}

/// One thread waits in a queue and then, without a deadline, for a futex; the other wakes it there and there, after
/// times that differ from round to round.
fn two_waits_each_round() {
    const ROUNDS: u32 = 3000;
    let queue = &WaitQueue::new();
    let [first, second, done] = &[const { AtomicU32::new(0) }; 3];
    thread::scope(|scope| {
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                queue.wait(|| (first.load(Ordering::SeqCst) == round).then_some(()));
                while second.load(Ordering::SeqCst) != round {
                    let waited = futex_wait(second, round - 1, None);
                    assert_ne!(waited, Err(FutexError::TimedOut), "woken in round {round} by the wake before");
                }
                done.store(round, Ordering::SeqCst);
            }
        });
        for round in 1..=ROUNDS {
            (0..round % 777).for_each(|_| spin_loop());
            first.store(round, Ordering::SeqCst);
            queue.wake_all();
            (0..round % 1000).for_each(|_| spin_loop());
            second.store(round, Ordering::SeqCst);
            futex_wake(ptr::from_ref(second).addr(), 1);
            while done.load(Ordering::SeqCst) != round {
                thread::yield_now();
            }
        }
    });
}
