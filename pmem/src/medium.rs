//! The persistence interface: scopes, copies, fences, and their errors.
//!
//! It is a crate of its own, below this one, so that whoever has persistent memory can implement it: see
//! [`pmem_medium`].

pub use pmem_medium::*;
