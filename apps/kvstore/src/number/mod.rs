//! Numbers as Redis reads and writes them.
//!
//! Owns the strict decimal integers of the protocol and of `INCR`, and the 80-bit floating point of `INCRBYFLOAT`. Pure
//! arithmetic on bytes: no replies, no commands.

mod decimal;
mod extended;
mod integer;

pub use extended::Extended;
pub use integer::{DIGITS, format, format_at_end, integer, unsigned};
