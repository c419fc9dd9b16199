//! The console: COM1, where the kernel's lines and the program's standard output go.
//!
//! Owns the port, the order of what is written to it (the lines of two writers do not mix: [`lines`]), and how much of
//! the library's work is shown. Never: what the text says.

#[cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use it"))]
mod lines;
#[cfg(target_os = "hermit")]
mod log;
#[cfg(target_os = "hermit")]
mod port;

#[cfg(target_os = "hermit")]
pub(crate) use log::{debug, info, set_level};
#[cfg(target_os = "hermit")]
pub(crate) use port::{break_lock, flush, hold_beginnings, init, keep_others_out, release_due, wait_until_free};
#[cfg(target_os = "hermit")]
pub use port::{print, write};

/// Prints a line on the console, whatever the log level is. Usable everywhere, interrupt handlers included.
#[macro_export]
macro_rules! kprintln {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
