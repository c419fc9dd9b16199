//! What a guest and the host that boots it have to agree on: written once, for both.
//!
//! `libos` keeps to it in the guest; `xtask`, the tests and their QEMU plugin read it on the host. It has values and
//! pure functions, and depends on nothing. What is here is a promise: a change changes both sides at once, and nothing
//! else has to be looked for.
//!
//! Rooms, none above another (`cargo xtask check floors`):
//!
//! ```floors
//! exit, limits, report, trace, vectors
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod exit;
pub mod limits;
pub mod report;
pub mod trace;
pub mod vectors;
