//! Persistent-memory devices of a Linux process: what `pmem` opens where there is no `libos` below it.
//!
//! A [`Device`] is a file, mapped once and locked for this process, and reached in scopes as any [`Medium`] is. It is
//! mapped under a protection key of its own, where the CPU and the kernel have keys (pkeys(7)), and closed to every
//! thread but inside of a grant. What that keeps out, and what goes past it, is in `docs/linux.md`.
//!
//! [`Medium`]: pmem_medium::Medium
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! grant, open: scopes, and the copies inside; what can be chosen of a device
//! device: a file, its map, its key and its lock
//! disk, durability, error, threads: …; what a fence promises; …; threads start closed
//! map: a file's pages under a key
//! devices: what is mapped where, for handlers and reports
//! key: protection keys, and the register of rights
//! ```

mod device;
pub mod devices;
mod disk;
mod durability;
mod error;
mod grant;
mod key;
mod map;
mod open;
#[cfg(not(any(miri, fuzzing, target_feature = "crt-static")))]
mod threads;

pub use device::Device;
pub use disk::Shortage;
pub use error::OpenError;
pub use grant::{ReadGrant, ReadLock, WriteGrant};
pub use key::NoKey;
pub use key::register::{RegisterWrites, register_writes};
pub use open::OpenOptions;
