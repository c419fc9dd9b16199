//! A mutex whose waiters sleep.

use core::marker::PhantomData;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use super::kill::change_no_kill;
use super::wait::WaitQueue;
use crate::sync::class::Classified;
use crate::sync::sleeping;

/// The raw form of [`Mutex`].
pub struct RawSleepMutex<C> {
    held: AtomicBool,
    waiters: WaitQueue,
    class: PhantomData<fn() -> C>,
}

// SAFETY: `held` is taken by compare-and-exchange and released by its holder alone, so at most one guard exists.
unsafe impl<C: Classified> RawMutex for RawSleepMutex<C> {
    #[allow(clippy::declare_interior_mutable_const, reason = "lock_api's way to make an unlocked lock")]
    const INIT: Self = Self { held: AtomicBool::new(false), waiters: WaitQueue::new(), class: PhantomData };
    type GuardMarker = GuardNoSend;

    #[track_caller]
    fn lock(&self) {
        sleeping::before(C::CLASS, Location::caller());
        self.waiters.wait(|| self.try_lock().then_some(()));
    }

    #[track_caller]
    fn try_lock(&self) -> bool {
        let locked = self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if locked {
            change_no_kill(1);
            sleeping::after(C::CLASS, Location::caller());
        }
        locked
    }

    unsafe fn unlock(&self) {
        sleeping::release(C::CLASS);
        self.held.store(false, Ordering::Release);
        self.waiters.wake_one();
        change_no_kill(-1);
    }
}

/// A value behind a mutex whose waiters sleep, and the class that says when it may be taken. For threads only: never in
/// an interrupt handler.
pub type Mutex<T, C> = lock_api::Mutex<RawSleepMutex<C>, T>;

/// The access to a [`Mutex`]'s value.
pub type MutexGuard<'a, T, C> = lock_api::MutexGuard<'a, RawSleepMutex<C>, T>;
