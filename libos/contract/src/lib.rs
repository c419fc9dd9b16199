//! What a guest and the host that boots it have to agree on: written once, for both.
//!
//! `libos` keeps to it in the guest; `xtask`, the tests and their QEMU plugin read it on the host. It has values and
//! pure functions, and depends on nothing. What is here is a promise: a change changes both sides at once, and nothing
//! else has to be looked for.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! report: what is said of what went wrong
//! log_level, policy, protection: words of how much is said, what follows a stray access, and what keeps it out
//! command_line, exit, limits, rights, trace, vectors, words
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod command_line;
pub mod exit;
pub mod limits;
pub mod log_level;
pub mod policy;
pub mod protection;
pub mod report;
pub mod rights;
pub mod trace;
pub mod vectors;
pub mod words;
