//! A trace of what the scheduler, the grants and the interrupts do, for people to look at.
//!
//! Owns the events and where they go: a ring for each CPU, in memory that the host has given to the machine (an
//! `ivshmem` device, a region of a file of the host's that QEMU maps shared). So the trace needs no way out. It is on
//! the host as it is written, and it is there whatever ends the machine, a `SIGKILL` of QEMU too: the last events
//! before a crash are what a trace is looked at for. (A serial port would be slow and change what it measures, fw_cfg
//! is read-only, and a dump by the monitor needs a machine that is still there.) Without such a device, an event costs
//! the look at one static.
//!
//! Recording takes no lock and allocates nothing, and works in every context. Each CPU writes only to its own ring,
//! with interrupts disabled; what is oldest is overwritten, and the reader sees how much. Never: a decision because of
//! a trace.

#[cfg(target_os = "hermit")]
mod region;

pub use libos_contract::trace as layout;

#[cfg(target_os = "hermit")]
pub(crate) use region::{begin, fits, is_on, name_device, name_thread, record};
