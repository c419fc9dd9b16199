//! Locks, each of which says what it disables.
//!
//! [`IrqLock`] disables interrupts while it is held: for state that an interrupt handler shares, and for short sections.
//! `Mutex` puts its waiters to sleep: for threads only. Nothing here knows what a lock protects.

mod irq_lock;
#[cfg(target_os = "hermit")]
mod mutex;

pub use irq_lock::{IrqLock, IrqLockGuard, RawIrqLock};
#[cfg(target_os = "hermit")]
pub use mutex::{Mutex, MutexGuard};
pub use spin::Once;
