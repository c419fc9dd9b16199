//! The network card (VIRTIO 1.2, section 5.1).
//!
//! Frames of up to 1514 bytes, each in one buffer that belongs to one descriptor for ever. All receive buffers are the
//! device's, except while a frame is being read. Notifications are collected and given once, by [`Card::flush`].
//!
//! Where the device offers it (QEMU does with a tap device), received TCP segments that follow each other come as one
//! frame of up to 64 KiB, which spans several buffers of 4 KiB. What is sent is never longer than 1514 bytes.
//!
//! Checksums are left to the device where it offers that (QEMU does with a tap device, not with its user network).
//! Interrupts and notifications are suppressed by the rings' flags: QEMU sets them exactly while it is at work on a
//! queue anyway, so event indices (VIRTIO_F_EVENT_IDX) would save nothing that the flags do not.

mod card;
mod features;
mod frame;
mod receiver;
#[cfg(target_os = "hermit")]
mod start;
#[cfg(test)]
mod tests;

pub use card::{Card, Doorbell, Traffic};
#[cfg(target_os = "hermit")]
pub use start::{DRIVER, NetworkCard, Probed, Started, take_probed};
