//! Devices under protection keys: what keeps out what, and what goes past it (`docs/linux.md`).
//!
//! What changes a whole process is done in one of its own: this program again, with one test ([`child`]). An access
//! that is denied is noted and stepped over ([`denials`]). Each that keys stop has its control, the same access to a
//! device without protection, which has to go through. Controls
//! run everywhere; where there are no keys the rest is skipped, unless [`devices::REQUIRE_KEYS`] is set.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod attempt;
mod calls;
mod child;
mod contexts;
mod denials;
mod devices;
mod limits;
mod matrix;
mod neighbours;
mod others;
mod permissions;
mod selftests;
mod signals;
mod system_calls;
mod uring;
