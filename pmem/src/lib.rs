//! Persistent memory for programs.
//!
//! A program opens a [`Device`] (an NVDIMM on the guest, a mapped file on Linux) and keeps a [`Pool`] in it: a
//! crash-safe map from keys to values, log-structured, with its index in DRAM. Persistent bytes are reached only in
//! scopes ([`Medium::read`], [`Medium::write`], [`ReadLock::read`], [`ReadLock::write`]), and a committed
//! [`Pool::turn`] yields a [`Durable`] receipt, without which a program has nothing to acknowledge with. The README has
//! an example, and what is promised; what the features are is in it too.
//!
//! The crate knows no sockets, no commands and no clock. Its on-media format is `docs/pool-format.md`.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! device, sim: an NVDIMM, or a file on the host; a simulated persistence domain
//! pool: log, index, recovery
//! error
//! crc32c, medium, protection
//!
//! error -> pool: an error names the format's version
//! ```
#![no_std]

extern crate alloc;
#[cfg(all(feature = "std", not(target_os = "hermit")))]
extern crate std;

pub mod crc32c;
#[cfg(any(feature = "std", target_os = "hermit"))]
pub mod device;
mod error;
pub mod medium;
pub mod pool;
#[cfg(any(feature = "std", target_os = "hermit"))]
pub mod protection;
#[cfg(any(feature = "sim", test))]
pub mod sim;

#[cfg(any(feature = "std", target_os = "hermit"))]
pub use device::{Device, ReadGrant, ReadLock, WriteGrant};
pub use error::Error;
pub use medium::{Counters, Load, LoadError, Medium, OutOfRange, Store, WriteProtectError};
pub use pool::{Durable, FormatOptions, Inspection, Meta, Op, OpenReport, Pool, Stats, Turn, ValueType, inspect};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
