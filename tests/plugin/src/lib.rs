//! A plugin for QEMU's translator (TCG) that records what a guest does to its persistent memory, in the order in which
//! it does it: stores with their values, write-backs, fences, and what the program hands over to the network.
//!
//! This folder owns the plugin and the format of its traces (`format`, which the tests link). It never judges what it
//! sees: that is `holdfast_tests::crash`. It knows nothing of pools.
//!
//! QEMU loads the library by `-plugin` and calls `qemu_plugin_install` (`install`), which refuses what it was not
//! written for. From then on QEMU shows it every translated instruction; `decode` tells which of them matter, and
//! `record` runs when they are executed. All unsafe code is in `qemu`, the table of QEMU's functions, and at the
//! callbacks' entrances.
//!
//! Persistent memory is told by its window of *virtual* addresses, which is the same for ever in our guest. A store by
//! any other way would be missed; so who reads a trace applies it to the image as it was before and compares with the
//! image as it is after.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! install
//! record
//! decode, format, options, qemu
//! ```

mod decode;
pub mod format;
mod install;
mod options;
mod qemu;
mod record;
