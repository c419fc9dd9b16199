//! The names that `std` gives to its threads. It passes none to the operating system on this target.
//!
//! The one place where this library calls `std`: `thread::current` is a look at a thread-local variable, which `std`
//! sets before anything else on a thread that it starts, and allocates nothing then; so it can be asked in a trap
//! handler too. (On a thread that a program started past `std`, by `sys_spawn2`, it makes a handle, and allocates.)

extern crate std;

/// Runs `work` with the running thread's name, if it has one. The thread is in a function that `std` started.
pub(super) fn with<R>(work: impl FnOnce(Option<&str>) -> R) -> R {
    work(std::thread::current().name())
}
