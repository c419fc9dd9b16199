//! What the store says to people. Whoever read it may be gone, on the host, as when a log's reader ends: the store goes
//! on, and what it says is dropped.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A text on the standard output, as it is.
pub fn print(text: &str) {
    // It has no other way to be told.
    let _ = stdout().lock().write_all(text.as_bytes());
}

/// A line on the standard output.
pub fn say(line: impl Display) {
    // As above.
    let _ = writeln!(stdout().lock(), "kvstore: {line}");
}

/// A line on the standard error, about something that went wrong.
pub fn warn(line: impl Display) {
    // As above.
    let _ = writeln!(stderr().lock(), "kvstore: {line}");
}
