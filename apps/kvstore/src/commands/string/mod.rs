//! Commands on strings, their bits among them.

mod basic;
mod bits;
mod counters;
mod lcs;
mod set;
#[cfg(test)]
mod tests;

pub use basic::*;
pub use bits::*;
pub use counters::*;
pub use lcs::*;
pub use set::*;
