//! The persistence interface: what persistent memory offers to what is kept in it.
//!
//! A [`Medium`] is a run of bytes that survives a power cut. It is reached only inside a *scope*: a closure that gets
//! a read or a write handle and cannot keep it. On the guest a scope is a protection-key grant (two register writes),
//! so callers take one for a batch of work, not one for a field. Scopes nest: the inner one's end restores what the
//! outer one had.
//!
//! Bytes move by copy only. Nothing here hands out a Rust reference into the medium: the compiler may move an access
//! through a reference across the register write that opens or closes the scope, and takes the memory behind it for
//! always readable. Both would be wrong.
//!
//! Whoever has persistent memory implements it: `libos` for its NVDIMMs, `pmem-linux` for a mapped file, `pmem` for a
//! simulated persistence domain. Whatever a medium enforces (which key is open, which pages can be written) is done
//! behind it. The pool is written against it and knows none of them. So this crate is below both, and depends on
//! nothing.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! medium: scopes, and what else can be asked of a medium
//! access: copies, write-backs and fences, inside a scope
//! counters, durability, error: …; what survives once a fence has returned; …
//! units
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod access;
mod counters;
mod durability;
mod error;
mod medium;
mod units;

pub use access::{Load, Store, View, ViewMut};
pub use counters::{Counters, SharedCounters};
pub use durability::{Durability, DurableBy};
pub use error::{Gone, LoadError, OutOfRange, WriteError, WriteProtectError};
pub use medium::Medium;
pub use units::{LINE, PAGE, lines_touched};
