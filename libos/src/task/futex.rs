//! Futexes: waiting for a word to change.

use core::sync::atomic::{AtomicU32, Ordering};

use intrusive_collections::LinkedList;

use super::scheduler;
use super::stuck::{For, Forever};
use super::thread::{ThreadState, WaitAdapter, current};
use crate::instant::Instant;
use crate::sync::{IrqLock, class, might_sleep};
use crate::trace::layout::why;

/// How many lists the waiters are spread over.
const BUCKETS: usize = 256;

static TABLE: [IrqLock<LinkedList<WaitAdapter>, class::Waiters>; BUCKETS] =
    [const { IrqLock::new(LinkedList::new(WaitAdapter::NEW)) }; BUCKETS];

fn bucket(address: usize) -> &'static IrqLock<LinkedList<WaitAdapter>, class::Waiters> {
    // Fibonacci hashing: words of neighbouring objects spread over the table.
    let hash = (address as u64 >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &TABLE[(hash >> 56) as usize % BUCKETS]
}

/// Why a wait ended without a wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexError {
    /// The word did not have the expected value.
    ValueDiffers,
    /// The deadline passed.
    TimedOut,
}

/// Waits for [`futex_wake`] on the word's address if the word has the `expected` value, until `deadline`.
/// Looking at the word and going to sleep are one step as seen by a waker.
#[track_caller]
pub fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Result<(), FutexError> {
    might_sleep();
    let address = (&raw const *word).addr();
    let bucket = bucket(address);
    let thread = current();
    {
        let mut waiters = bucket.lock();
        if word.load(Ordering::SeqCst) != expected {
            return Err(FutexError::ValueDiffers);
        }
        thread.futex.store(address, Ordering::Relaxed);
        thread.set(ThreadState::Waiting);
        waiters.push_back(thread.clone());
    }
    let _forever = Forever::begin(&thread, For::Futex, deadline);
    if let Some(deadline) = deadline {
        thread.timer.arm(deadline);
    }
    scheduler::block(why::FUTEX);
    if deadline.is_some() {
        thread.timer.cancel();
    }
    let mut waiters = bucket.lock();
    if thread.wait_link.is_linked() {
        // SAFETY: the thread waits in this bucket, whose lock is held.
        unsafe { waiters.cursor_mut_from_ptr(&*thread) }.remove();
        return Err(FutexError::TimedOut);
    }
    Ok(())
}

/// Wakes up to `count` threads that wait for this address; how many. The address is only compared, never read: what was
/// there may be gone.
pub fn futex_wake(address: usize, count: usize) -> usize {
    let mut number = 0;
    let mut waiters = bucket(address).lock();
    let mut cursor = waiters.front_mut();
    while let Some(thread) = cursor.get()
        && number < count
    {
        if thread.futex.load(Ordering::Relaxed) != address {
            cursor.move_next();
        } else if let Some(thread) = cursor.remove() {
            // Under the lock: a waiter whose deadline passes meanwhile must find itself in this list or in none.
            thread.wake();
            number += 1;
        }
    }
    number
}
