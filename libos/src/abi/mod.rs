//! The Hermit ABI: the `sys_*` functions that `std` (and mio, polling, the libc crate) call on this target.
//!
//! Nothing but translation: each function turns C types into the types of the room that does the work, and the outcome
//! back. A failed call returns the negative error number *and* leaves it in the thread's errno: `std` reads the former,
//! `io::Error::last_os_error` and mio read the latter. [`table`] lists the functions.
//!
//! One thing is no part of that ABI, for programs that know libos: sets of sockets that say when they become ready
//! (`ReadySet`).

pub mod table;

#[cfg(target_os = "hermit")]
mod errno;
#[cfg(target_os = "hermit")]
mod eventfd;
#[cfg(target_os = "hermit")]
mod fd;
#[cfg(target_os = "hermit")]
mod files;
#[cfg(target_os = "hermit")]
mod futex;
#[cfg(target_os = "hermit")]
mod memory;
#[cfg(target_os = "hermit")]
mod object;
#[cfg(target_os = "hermit")]
mod poll;
#[cfg(target_os = "hermit")]
mod process;
#[cfg(target_os = "hermit")]
mod ready_set;
#[cfg(target_os = "hermit")]
mod socket;
#[cfg(target_os = "hermit")]
mod stdio;
#[cfg(target_os = "hermit")]
mod thread;
#[cfg(target_os = "hermit")]
mod time;

#[cfg(target_os = "hermit")]
pub(crate) use fd::open_count as open_descriptors;
#[cfg(target_os = "hermit")]
pub use ready_set::{AddError, Event, Ready, ReadySet, Waker};
