//! Waiting for a condition.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use intrusive_collections::LinkedList;

use super::scheduler;
use super::stuck::{For, Forever};
use super::thread::{Thread, ThreadState, WaitAdapter, current};
use crate::instant::Instant;
use crate::sync::{IrqLock, class, might_sleep};
use crate::time;
use crate::trace::layout::why;

/// The deadline passed and the condition is still false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// Threads that wait for the same thing. Waking is possible from everywhere, interrupt handlers included.
pub struct WaitQueue {
    /// Counts wakes, so that one between looking at the condition and joining the queue is not lost.
    wakes: AtomicU64,
    /// Threads that wait, or are about to: while there are none, a wake takes no lock.
    waiting: AtomicU32,
    /// What is waited for here.
    what: For,
    waiters: IrqLock<LinkedList<WaitAdapter>, class::Waiters>,
}

impl WaitQueue {
    /// A queue with nobody in it.
    pub const fn new() -> Self {
        Self::of(For::Thread)
    }

    /// A queue of those who wait for a descriptor, which may become ready by what comes from outside.
    pub const fn for_descriptors() -> Self {
        Self::of(For::Descriptor)
    }

    /// A queue of those who wait for what no thread does: an event from outside.
    pub const fn for_outside() -> Self {
        Self::of(For::Outside)
    }

    const fn of(what: For) -> Self {
        Self {
            wakes: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            what,
            waiters: IrqLock::new(LinkedList::new(WaitAdapter::NEW)),
        }
    }

    /// Waits until `condition` gives a value. It is evaluated at first, before each sleep and after each wake, with no
    /// lock held.
    #[track_caller]
    pub fn wait<R>(&self, condition: impl FnMut() -> Option<R>) -> R {
        match self.wait_until(None, condition) {
            Ok(value) => value,
            Err(TimedOut) => unreachable!("there is no deadline"),
        }
    }

    /// As [`Self::wait`], but not longer than until `deadline`.
    #[track_caller]
    pub fn wait_until<R>(
        &self,
        deadline: Option<Instant>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<R, TimedOut> {
        might_sleep();
        if let Some(value) = condition() {
            return Ok(value);
        }
        // Before the condition is looked at once more: either this look sees what a waker has changed, or the waker
        // sees that somebody waits ([`Self::somebody_waits`]).
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let result = self.queue_until(deadline, condition);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Waits in the queue, as one of those that are counted.
    #[track_caller]
    fn queue_until<R>(
        &self,
        deadline: Option<Instant>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<R, TimedOut> {
        loop {
            let seen = self.wakes.load(Ordering::Acquire);
            if let Some(value) = condition() {
                return Ok(value);
            }
            if deadline.is_some_and(|deadline| deadline <= time::now()) {
                return Err(TimedOut);
            }
            assert!(!crate::arch::percpu::in_trap(), "an interrupt handler must not wait");
            let thread = current();
            {
                let mut waiters = self.waiters.lock();
                if self.wakes.load(Ordering::Acquire) != seen {
                    continue;
                }
                thread.set(ThreadState::Waiting);
                waiters.push_back(thread.clone());
            }
            let forever = Forever::begin(&thread, self.what, deadline);
            if let Some(deadline) = deadline {
                thread.timer.arm(deadline);
            }
            scheduler::block(why::QUEUE);
            drop(forever);
            if deadline.is_some() {
                thread.timer.cancel();
            }
            self.leave(&thread);
        }
    }

    /// Takes the running thread out of the queue, if no waker did. The lock is needed in either case: a waker holds it
    /// until it is done with the thread, which could otherwise wait elsewhere, or end, while it is being made ready.
    fn leave(&self, thread: &Thread) {
        let mut waiters = self.waiters.lock();
        if thread.wait_link.is_linked() {
            // SAFETY: the thread waits in this queue and in no other, and the queue's lock is held.
            unsafe { waiters.cursor_mut_from_ptr(thread) }.remove();
        }
    }

    /// Whether there is anybody to wake. Who is not counted yet looks at the condition after it was changed.
    fn somebody_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self) {
        if !self.somebody_waits() {
            return;
        }
        let mut waiters = self.waiters.lock();
        self.wakes.fetch_add(1, Ordering::Release);
        // Under the lock, as [`Self::leave`] says.
        if let Some(thread) = waiters.pop_front() {
            thread.wake();
        }
    }

    /// Wakes every thread that waits.
    pub fn wake_all(&self) {
        if !self.somebody_waits() {
            return;
        }
        let mut waiters = self.waiters.lock();
        self.wakes.fetch_add(1, Ordering::Release);
        while let Some(thread) = waiters.pop_front() {
            thread.wake();
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitQueue")
    }
}
