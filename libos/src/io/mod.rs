//! What programs' descriptors refer to, apart from the ABI's numbers for it.
//!
//! Owns readiness: what `poll` asks of an object, and how an object says that the answer has changed.

mod readiness;

pub use readiness::{Ready, Signal};
