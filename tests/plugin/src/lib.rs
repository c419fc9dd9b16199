//! A plugin for QEMU's translator (TCG) that tells what a guest does. It has two modes:
//!
//! - `record`: what the guest does to its persistent memory, in the order in which it does it: stores with their
//!   values, write-backs, fences, and what the program hands over to the network;
//! - `count`: how often each block of its instructions is executed, and how much memory that touches.
//!
//! This folder owns the plugin, the format of its traces (`format`, which the tests link) and that of its counts
//! (`snapshot`, which xtask links). It never judges what it sees: `holdfast_tests::crash` and `xtask::counts` do. It
//! knows nothing of pools.
//!
//! QEMU loads the library by `-plugin` and calls `qemu_plugin_install` (`install`), which refuses what it was not
//! written for. From then on QEMU shows it every translated instruction. In the one mode `decode` tells which of them
//! matter, and `record` runs when they are executed; in the other QEMU adds to the counters that `count` gives it. All
//! unsafe code is in `qemu`, the table of QEMU's functions, and at the callbacks' entrances.
//!
//! Persistent memory is told by its window of *virtual* addresses, which is the same for ever in our guest. A store by
//! any other way would be missed; so who reads a trace applies it to the image as it was before and compares with the
//! image as it is after.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! install
//! count, record
//! decode, format, options, qemu, snapshot
//! ```

mod count;
mod decode;
pub mod format;
mod install;
mod options;
mod qemu;
mod record;
pub mod snapshot;
