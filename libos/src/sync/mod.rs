//! Locks, each of which says what it disables.
//!
//! [`IrqLock`] disables interrupts while it is held: for state that an interrupt handler shares, and for short
//! sections. `Mutex` puts its waiters to sleep: for threads only. Each lock has a [`class`], and the classes have an
//! order; a build with debug assertions checks it, and that nothing sleeps where it must not. Nothing here knows what a
//! lock protects.

pub mod class;
mod held;
mod irq_lock;
#[cfg(target_os = "hermit")]
mod mutex;

#[cfg(target_os = "hermit")]
pub(crate) use held::Held;
pub use held::might_sleep;
pub use irq_lock::{IrqLock, IrqLockGuard, RawIrqLock};
#[cfg(target_os = "hermit")]
pub use mutex::{Mutex, MutexGuard};
pub use spin::Once;
