//! What follows a fault in a device, and what is said of it: each in a process of its own, which is to end or not.
//!
//! What needs a protection key is skipped where there is none, unless `HOLDFAST_REQUIRE_KEYS` is set.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod cases;
mod child;
mod other_signals;
mod pages;
mod shapes;
mod strays;
