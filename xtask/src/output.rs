//! What is said to people while something runs. Whoever read it may be gone, as with `cargo xtask run | head`: what
//! runs goes on, and what it says is dropped.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on the standard output.
#[expect(clippy::print_stdout, reason = "the harness of this crate's tests keeps back only what `println!` writes")]
pub fn say(line: impl Display) {
    if cfg!(test) {
        return println!("{line}");
    }
    // It has no other way to be told.
    let _ = writeln!(stdout().lock(), "{line}");
}

/// A line on the standard error.
pub fn warn(line: impl Display) {
    // As above.
    let _ = writeln!(stderr().lock(), "{line}");
}
