//! The machine. One folder for each architecture; the rest of the library names only what is re-exported here.

pub mod bank;
#[cfg(target_os = "hermit")]
mod x86_64;

#[cfg(target_os = "hermit")]
pub use x86_64::*;
