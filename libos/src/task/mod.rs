//! Threads: who runs, who waits for what, and until when.
//!
//! Owns the run queue, wait queues, futexes, timers and thread-local storage blocks. A thread runs until it waits, or until
//! its time slice ends while another one is ready. Waking is constant in time and never allocates, so interrupt handlers
//! may do it. Never: what a thread does with persistent memory; its rights are only carried along.

mod futex;
mod scheduler;
mod thread;
mod timer;
mod tls;
mod wait;

pub use futex::{FutexError, futex_wait, futex_wake};
pub(crate) use scheduler::{become_idle, preempt, timer_interrupt};
pub use scheduler::{sleep_until, yield_now};
pub use thread::{SpawnError, Thread, ThreadId, current_id, current_name, join, spawn_kernel};
pub(crate) use thread::{current_ref, spawn};
pub use timer::Timer;
pub use wait::{TimedOut, WaitQueue};
