//! Persistent-memory devices of a Linux process: what `pmem` opens where there is no `libos` below it.
//!
//! A [`Device`] is a file, mapped once and locked for this process, and reached in scopes as any [`Medium`] is. It is
//! mapped under a protection key of its own, where the CPU and the kernel have keys (pkeys(7)), and closed to every
//! thread but inside of a grant. What that keeps out, what goes past it, and what follows an access that was kept out,
//! is in `docs/linux.md`.
//!
//! [`Medium`]: pmem_medium::Medium
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! open: what can be chosen of a device
//! grant: scopes, and the copies inside
//! device: a file, its map, its key and its lock
//! disk, durability, error: …; what a fence promises; …
//! fault, threads: what follows a stray access; threads start closed
//! map, record, sysfs: a file's pages under a key; each thread's last grants; what the kernel tells of disks
//! alternate, policy, ticks: stacks for signal handlers; what follows a fault; when something happened
//! cache, devices: the processor's caches; what is mapped where, for handlers and reports
//! key: protection keys, and the register of rights
//! ```

#[cfg(not(miri))]
mod alternate;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod cache;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[path = "cache/absent.rs"]
mod cache;
mod device;
#[cfg_attr(not(all(target_arch = "x86_64", not(miri))), allow(dead_code, reason = "nobody reports faults there"))]
pub mod devices;
mod disk;
mod durability;
mod error;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub mod fault;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[path = "fault/absent.rs"]
pub mod fault;
mod grant;
mod key;
mod map;
mod open;
pub mod policy;
#[cfg_attr(not(all(target_arch = "x86_64", not(miri))), allow(dead_code, reason = "nobody reports faults there"))]
mod record;
mod sysfs;
#[cfg(not(any(miri, fuzzing, target_feature = "crt-static")))]
mod threads;
#[cfg_attr(not(all(target_arch = "x86_64", not(miri))), allow(dead_code, reason = "nobody reports faults there"))]
mod ticks;

pub use device::Device;
pub use disk::Shortage;
pub use error::OpenError;
pub use grant::{ReadGrant, ReadLock, WriteGrant};
pub use key::NoKey;
pub use key::register::{RegisterWrites, register_writes};
pub use open::OpenOptions;
