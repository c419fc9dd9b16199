//! Commands on keys, whatever type of value they have.

mod expiry;
mod keys;
pub mod object;
mod scan;

pub use expiry::*;
pub use keys::*;
pub use scan::*;
