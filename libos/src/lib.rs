//! Holdfast's library operating system: a unikernel that a `std` program links as a crate.
//!
//! A program for `x86_64-unknown-hermit` that says `use libos as _;` becomes a bootable image: this crate brings the
//! PVH entry, memory, threads, drivers, the network and the `sys_*` functions that `std` calls on that target. What
//! makes it worth choosing is `dax`: persistent memory is mapped once, under a protection key that is closed by
//! default, and opened only by scoped grants.
//!
//! Rooms, and which may call which (arrows point down):
//!
//! ```text
//! abi                     what std calls: translation only
//!  |        \        \
//! net, io, fs   dax  power
//!  |         |        |
//! drivers (ACPI, NFIT, PCI, virtio, RTC)
//!  |
//! task (threads, wait queues, timers)     mm (frames, mappings, heap)
//!  |
//! arch/x86_64 (the machine: the only inline assembly)      sync, time, boot, trace, cmdline, console, fatal
//! ```
//!
//! Logic that needs no machine (parsers, allocators, page-table arithmetic, the socket layer) is compiled on the host
//! too and tested there by `cargo test -p libos`.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
#[cfg(all(target_os = "hermit", feature = "unwind"))]
extern crate libos_unwind as _;
#[cfg(test)]
extern crate std;

pub mod abi;
#[cfg(target_os = "hermit")]
pub mod accounts;
#[cfg(target_os = "hermit")]
pub mod arch;
pub mod boot;
pub mod cmdline;
pub mod console;
pub mod dax;
pub mod drivers;
#[cfg(target_os = "hermit")]
pub mod fatal;
pub mod fs;
pub mod io;
pub mod mm;
pub mod net;
#[cfg(target_os = "hermit")]
pub mod power;
pub mod sync;
pub mod task;
#[cfg(target_os = "hermit")]
pub mod time;
pub mod trace;
pub mod units;

#[cfg(target_os = "hermit")]
mod start;
