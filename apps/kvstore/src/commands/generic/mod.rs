//! Commands on keys, whatever type of value they have.

mod expiry;
mod keys;
pub mod object;
mod scan;
#[cfg(test)]
mod tests;

pub use expiry::*;
pub use keys::*;
pub use scan::*;
