//! Holdfast's library operating system: a unikernel that a `std` program links as a crate.
//!
//! A program for `x86_64-unknown-hermit` that says `use libos as _;` becomes a bootable image: this crate brings the
//! PVH entry, memory, threads, drivers, the network and the `sys_*` functions that `std` calls on that target. What
//! makes it worth choosing is `dax`: persistent memory is mapped once, under a protection key that is closed by
//! default, and opened only by scoped grants.
//!
//! Rooms, the highest floor first. A room uses only rooms on lower floors: `cargo xtask check floors` holds the imports
//! to it. What a room has to have from above, `start` hands to it: values, and tables of functions.
//!
//! ```floors
//! accounts
//! abi: what std calls, translation only
//! arch/x86_64/start/entry: the first instructions, which call `start`
//! start: puts everything together
//! arch: what a port gives, by name
//! cmdline, power
//! net, fs, dax: sockets; files; devices, grants, keys
//! report: what is said of a fault, and before the machine stops
//! drivers, io: ACPI, NFIT, PCI, virtio, RTC; readiness
//! arch/x86_64/start: what the boot loader tells, and the other CPUs
//! arch/x86_64/trap: tables, entry and exit of traps
//! task: threads, wait queues, timers
//! trace
//! boot
//! console
//! mm: frames, mappings, heap
//! sync
//! halt: the end of the machine
//! time
//! arch/x86_64/machine: what one CPU does
//! arch/x86_64/format: what bits mean
//! keys, units: values only
//! addr, instant, unix_time: addresses; moments
//! ```
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
pub mod addr;
pub mod arch;
pub mod boot;
pub mod cmdline;
pub mod console;
pub mod dax;
pub mod drivers;
pub mod fs;
#[cfg(target_os = "hermit")]
mod halt;
pub mod instant;
pub mod io;
pub mod keys;
pub mod mm;
pub mod net;
#[cfg(target_os = "hermit")]
pub mod power;
#[cfg(target_os = "hermit")]
pub mod report;
pub mod sync;
pub mod task;
#[cfg(target_os = "hermit")]
pub mod time;
pub mod trace;
pub mod units;
pub mod unix_time;

#[cfg(target_os = "hermit")]
mod start;
