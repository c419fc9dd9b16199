//! The units in which persistent memory is written back and protected.

use core::ops::Range;

/// Bytes in a cache line: what one write-back moves, and what persists or is lost as a unit of 8-byte words.
pub const LINE: u64 = 64;

/// Bytes in a page: what [`Medium::set_writable`](crate::Medium::set_writable) permits or forbids stores to as a whole.
pub const PAGE: u64 = 4096;

/// The number of cache lines that a byte range touches.
pub fn lines_touched(range: &Range<u64>) -> u64 {
    if range.start >= range.end { 0 } else { (range.end - 1) / LINE - range.start / LINE + 1 }
}
