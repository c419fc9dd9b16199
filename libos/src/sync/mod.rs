//! Locks, each of which says what it disables.
//!
//! [`IrqLock`] disables interrupts while it is held: for state that an interrupt handler shares, and for short
//! sections. A lock whose waiters sleep is a thing of threads: `task::Mutex`. Each lock has a [`class`], and the
//! classes have an order; a build with debug assertions checks it, and that nothing sleeps where it must not. Nothing
//! here knows what a lock protects.

pub mod class;
mod irq_lock;
mod lockdep;

pub use irq_lock::{IrqLock, IrqLockGuard, RawIrqLock};
pub use lockdep::might_sleep;
#[cfg(target_os = "hermit")]
pub(crate) use lockdep::sleeping;
pub use spin::Once;
