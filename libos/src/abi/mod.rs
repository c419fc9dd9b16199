//! The Hermit ABI: the `sys_*` functions that `std` (and mio, polling, the libc crate) call on this target.
//!
//! Nothing but translation: each function turns C types into the types of the room that does the work, and the outcome
//! back. A failed call returns the negative error number *and* leaves it in the thread's errno: `std` reads the former,
//! `io::Error::last_os_error` and mio read the latter.

mod errno;
mod eventfd;
mod fd;
mod files;
mod futex;
mod memory;
mod poll;
mod process;
mod socket;
mod stdio;
mod thread;
mod time;
