//! What is said of what went wrong, line by line: by a machine on its console, and by a process on its error output.
//!
//! Pure values over plain fields: who prints a line has looked the fields up, and may do so where nothing may wait or
//! allocate. People, `xtask` and the tests read them.

mod context;
mod grants;
mod length;
mod places;
mod stray;

pub use context::{Code, Context, Registers};
pub use grants::{BACKTRACE, Frame, Grant, LAST_GRANTS, LAST_GRANTS_OF_HANDLERS, REMEMBERED, RIGHTS, Seconds};
pub use length::left_to_repeat;
pub use places::Places;
pub use stray::{Consequence, Denial, Stray};

/// The first line of the report of an access or an exception.
pub const FAULT: &str = "holdfast: FAULT ";
/// The first line of the report of what the library itself cannot go on after.
pub const FATAL: &str = "holdfast: FATAL ";
/// The first line of the report of a program that gave up.
pub const ABORTED: &str = "holdfast: the program aborted";
