//! Persistent-memory devices of a Linux process: what `pmem` opens where there is no `libos` below it.
//!
//! A [`Device`] is a file, mapped once and locked for this process, and reached in scopes as any [`Medium`] is.
//!
//! [`Medium`]: pmem_medium::Medium
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! grant: scopes, and the copies inside
//! device: a file, its map and its lock
//! disk, durability, error: room on the disk; what a fence promises; why there is no device
//! ```

mod device;
mod disk;
mod durability;
mod error;
mod grant;

pub use device::Device;
pub use disk::Shortage;
pub use error::OpenError;
pub use grant::{ReadGrant, ReadLock, WriteGrant};
