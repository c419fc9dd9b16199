//! What survives a fence, and by what: each kind of place, told from the others; what a fence executes there; and what
//! becomes of a device whose disk fails.
//!
//! Which places there are is said by variables ([`places`]); those that are missing are skipped.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod failing;
mod fences;
mod kinds;
mod places;
mod steps;
