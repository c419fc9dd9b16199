//! virtio: the devices of virtual machines (VIRTIO 1.2), modern PCI transport only.
//!
//! Owns the queues and the buffers that it shares with devices: allocated once, never in persistent memory, never per
//! packet. A device's answers are checked before they are used as an index or a length. Never: what the bytes mean.
#![cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use this room"))]

mod checksum;
mod memory;
pub mod net;
mod queue;
#[cfg(target_os = "hermit")]
mod start;
mod transport;
