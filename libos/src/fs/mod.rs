//! Files in RAM: what programs expect to find through `std::fs`.
//!
//! Owns one tree of directories and files, what it may take of RAM, and the read-only files that the host hands in with
//! the image ([`archive`]). Everything in it is gone when the machine stops. Never: persistent memory, which is a
//! `pmem::Device` and not a file that pretends to be stored; descriptors and error numbers, which are `abi`'s.
//!
//! One lock for the whole tree: operations are short copies, and a program that shares much data between threads shares
//! memory. Host files are used where the boot loader put them, and are not copied.
#![forbid(unsafe_code)]
#![cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use this room"))]

pub mod archive;
mod budget;
mod content;
mod device;
mod directory;
mod error;
mod listing;
mod open;
mod path;
#[cfg(test)]
mod tests;
mod tree;

pub use device::{Device, Entropy};
pub use error::Error;
pub use listing::{FileType, encode};
pub use open::{Open, OpenOptions, Whence};
pub use tree::{About, Tree};

#[cfg(target_os = "hermit")]
mod mounted;
#[cfg(target_os = "hermit")]
pub use mounted::{init, with};
