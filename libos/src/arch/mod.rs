//! The machine. One folder for each architecture; the rest of the library names only what is re-exported here.

mod x86_64;

pub use x86_64::*;
