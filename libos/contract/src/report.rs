//! How the lines on the console begin by which a machine says that something went wrong.

/// The first line of the report of an access or an exception.
pub const FAULT: &str = "holdfast: FAULT ";
/// The first line of the report of what the library itself cannot go on after.
pub const FATAL: &str = "holdfast: FATAL ";
/// The first line of the report of a program that gave up.
pub const ABORTED: &str = "holdfast: the program aborted";
