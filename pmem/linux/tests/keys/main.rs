//! Devices under protection keys: what keeps out what, and what goes past it (`docs/linux.md`).
//!
//! An access that may end its process is made in one of its own: this program again, with one test ([`child`]). Each
//! that keys stop has its control, the same access to a device without protection, which has to go through. Controls
//! run everywhere; where there are no keys the rest is skipped, unless [`devices::REQUIRE_KEYS`] is set.

mod attempt;
mod child;
mod contexts;
mod devices;
mod limits;
mod matrix;
mod system_calls;
