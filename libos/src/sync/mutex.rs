//! A mutex whose waiters sleep.

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use crate::task::{WaitQueue, count_held};

/// The raw form of [`Mutex`].
pub struct RawSleepMutex {
    held: AtomicBool,
    waiters: WaitQueue,
}

// SAFETY: `held` is taken by compare-and-exchange and released by its holder alone, so at most one guard exists.
unsafe impl RawMutex for RawSleepMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "lock_api's way to make an unlocked lock")]
    const INIT: Self = Self { held: AtomicBool::new(false), waiters: WaitQueue::new() };
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        self.waiters.wait(|| self.try_lock().then_some(()));
    }

    fn try_lock(&self) -> bool {
        let locked = self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if locked {
            count_held(1);
        }
        locked
    }

    unsafe fn unlock(&self) {
        self.held.store(false, Ordering::Release);
        self.waiters.wake_one();
        count_held(-1);
    }
}

/// A value behind a mutex whose waiters sleep. For threads only: never in an interrupt handler.
pub type Mutex<T> = lock_api::Mutex<RawSleepMutex, T>;

/// The access to a [`Mutex`]'s value.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawSleepMutex, T>;
