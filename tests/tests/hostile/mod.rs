//! Hostile clients: the machine stays up, an honest client beside them is served, memory returns to where it was, and
//! nothing that was acknowledged is lost.
//!
//! Each input is small and found from outside. The usual run has each on one machine, the smallest, but those that take
//! minutes. `cargo xtask test hostile` has all of them, on all [`SIZES`]. One file for each theme; [`scene`] is what
//! they share.

mod connections;
mod keys;
mod memory;
mod scene;
mod work;

use xtask::size::MIB;

/// The smallest machine that the store is meant for.
const SMALLEST: u64 = 64 * MIB;
/// What `cargo xtask run` gives a machine by default.
const LARGEST: u64 = 256 * MIB;
/// The machines that the stage has, by their RAM.
const SIZES: [u64; 4] = [SMALLEST, 96 * MIB, 128 * MIB, LARGEST];
