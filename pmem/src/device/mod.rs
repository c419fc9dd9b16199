//! Persistent-memory devices: the real media.
//!
//! On the guest a [`Device`] is an NVDIMM that `libos` mapped once, under its own protection key; its grants open that
//! key for one thread and one scope. On the host it is a mapped file, for the same programs, tools and tests. The two
//! have the same names and the same rules; what differs is who enforces them. This folder never interprets what a
//! device holds.

#[cfg(target_os = "hermit")]
mod guest;
#[cfg(not(target_os = "hermit"))]
mod host;

#[cfg(target_os = "hermit")]
pub use guest::{Device, OpenError, ReadGrant, ReadLock, WriteGrant};
#[cfg(not(target_os = "hermit"))]
pub use host::{Device, OpenError, ReadGrant, ReadLock, WriteGrant};
