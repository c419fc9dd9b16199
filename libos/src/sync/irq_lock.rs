//! A spinlock that keeps this CPU's interrupts disabled while it is held.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use super::class::{self, Classified};
use super::lockdep;

/// Interrupts are disabled from `lock` to `unlock`; their former state is kept in the lock itself, which only its
/// holder reads and writes.
pub struct RawIrqLock<C> {
    held: AtomicBool,
    interrupts_were_enabled: UnsafeCell<bool>,
    class: PhantomData<fn() -> C>,
}

// SAFETY: `interrupts_were_enabled` is touched only between a successful acquisition of `held` and its release, so by
// one CPU at a time.
unsafe impl<C> Sync for RawIrqLock<C> {}

// SAFETY: `held` is acquired by compare-and-exchange and released by its holder alone, so at most one guard exists; the
// guard is `!Send`, so interrupts are restored on the CPU that disabled them.
unsafe impl<C: Classified> RawMutex for RawIrqLock<C> {
    #[allow(clippy::declare_interior_mutable_const, reason = "lock_api's way to make an unlocked lock")]
    const INIT: Self =
        Self { held: AtomicBool::new(false), interrupts_were_enabled: UnsafeCell::new(false), class: PhantomData };
    type GuardMarker = GuardNoSend;

    #[inline]
    #[track_caller]
    fn lock(&self) {
        let enabled = interrupts::disable();
        lockdep::before_spin(C::CLASS, Location::caller());
        while self.held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.held.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        lockdep::after_spin(C::CLASS, Location::caller());
        // SAFETY: `held` was just acquired, so nobody else reads or writes the cell.
        unsafe { *self.interrupts_were_enabled.get() = enabled };
    }

    #[track_caller]
    fn try_lock(&self) -> bool {
        let enabled = interrupts::disable();
        if self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            lockdep::after_spin(C::CLASS, Location::caller());
            // SAFETY: as in `lock`.
            unsafe { *self.interrupts_were_enabled.get() = enabled };
            return true;
        }
        interrupts::restore(enabled);
        false
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock, so the cell is ours until `held` is released.
        let enabled = unsafe { *self.interrupts_were_enabled.get() };
        lockdep::release_spin(C::CLASS);
        self.held.store(false, Ordering::Release);
        interrupts::restore(enabled);
    }
}

/// A value behind a spinlock that disables interrupts, and the class that says when it may be taken (see [`class`]).
/// Hold it briefly; never sleep while holding it.
pub type IrqLock<T, C = class::Leaf> = lock_api::Mutex<RawIrqLock<C>, T>;

/// The access to an [`IrqLock`]'s value. It cannot move to another CPU.
pub type IrqLockGuard<'a, T, C = class::Leaf> = lock_api::MutexGuard<'a, RawIrqLock<C>, T>;

#[cfg(target_os = "hermit")]
mod interrupts {
    pub use crate::arch::interrupts::{disable, restore};
}

/// On the host there are no interrupts to disable: the lock is a plain spinlock.
#[cfg(not(target_os = "hermit"))]
mod interrupts {
    pub fn disable() -> bool {
        false
    }
    pub fn restore(_enabled: bool) {}
}
