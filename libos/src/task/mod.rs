//! Threads: who runs, who waits for what, and until when.
//!
//! Owns the run queue, wait queues, sleeping locks, futexes, timers and thread-local storage blocks. A thread runs
//! until it waits, or until its time slice ends while another one is ready. Waking is constant in time and never
//! allocates, so interrupt handlers may do it. Never: what a thread does with persistent memory; its rights are only
//! carried along.

pub mod queue;

#[cfg(target_os = "hermit")]
mod futex;
#[cfg(target_os = "hermit")]
mod hooks;
#[cfg(target_os = "hermit")]
mod kill;
#[cfg(target_os = "hermit")]
mod life;
#[cfg(target_os = "hermit")]
mod mutex;
#[cfg(target_os = "hermit")]
mod scheduler;
#[cfg(target_os = "hermit")]
mod statistics;
#[cfg(target_os = "hermit")]
mod std_name;
#[cfg(target_os = "hermit")]
mod stuck;
#[cfg(target_os = "hermit")]
mod thread;
#[cfg(target_os = "hermit")]
mod timer;
#[cfg(target_os = "hermit")]
mod tls;
#[cfg(target_os = "hermit")]
mod wait;

#[cfg(target_os = "hermit")]
mod guest {
    pub use super::futex::{FutexError, futex_wait, futex_wake};
    pub(crate) use super::hooks::{Hooks, set_hooks};
    pub use super::kill::ended_count;
    pub(crate) use super::kill::{KillRefused, NoKill, can_kill, kill_current};
    pub(crate) use super::life::spawn;
    pub use super::life::{join, spawn_kernel};
    pub use super::mutex::{Mutex, MutexGuard};
    pub(crate) use super::scheduler::{become_idle, preempt, reap_exited, timer_interrupt};
    pub use super::scheduler::{cpu_of, pin, sleep_until, yield_now};
    pub use super::statistics::{Statistics, statistics, statistics_by_cpu};
    pub(crate) use super::stuck::expect_from_outside;
    pub(crate) use super::thread::{Role, count as thread_count, current_ref, thread_with_rights_to, with_name};
    pub use super::thread::{SpawnError, Thread, ThreadId, current_id, current_name};
    pub use super::timer::Timer;
    pub(crate) use super::timer::armed as armed_timers;
    pub use super::wait::{TimedOut, WaitQueue};
}
#[cfg(target_os = "hermit")]
pub use guest::*;
