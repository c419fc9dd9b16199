//! Builds, runs, tests and checks Holdfast: the work behind `cargo xtask`.
//!
//! It is a library so that the tests that boot images start them exactly as `cargo xtask run` does. What such a test
//! needs:
//!
//! - [`guest::image`] finds the image of a guest program that `cargo xtask test` has built;
//! - [`image::PmemImage`] makes, checks and locks the file behind an NVDIMM;
//! - [`qemu::Machine`] starts QEMU, keeps the console, carries connections, presses the power button, kills, and says
//!   how the guest ended ([`qemu::Exit`]);
//! - [`annotate::Annotator`] turns addresses on the console into functions, files and lines, and a report's machine
//!   code into an instruction and what it touched.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! check, faults, fuzz, miri
//! test
//! bench, boot, counts, native, paths, recovery, run, std_tests
//! qemu
//! annotate, clients, crash, linux, tap
//! trace, pool
//! apps, defects, forward, guest, image, stripped, symbols, traffic
//! setup
//! cargo
//! bars, cpio, handed, instruction, keys, launcher, new, output, processor_time, resp, signals, size, tables, workspace
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic when nobody reads: say it by `output`")]

pub mod annotate;
pub mod apps;
pub mod bars;
pub mod bench;
pub mod boot;
mod cargo;
pub mod check;
pub mod clients;
pub mod counts;
mod cpio;
pub mod crash;
pub mod defects;
pub mod faults;
pub mod forward;
pub mod fuzz;
pub mod guest;
mod handed;
pub mod image;
mod instruction;
pub mod keys;
mod launcher;
pub mod linux;
pub mod miri;
pub mod native;
pub mod new;
pub mod output;
pub mod paths;
pub mod pool;
mod processor_time;
pub mod qemu;
pub mod recovery;
mod resp;
pub mod run;
pub mod setup;
pub mod signals;
pub mod size;
pub mod std_tests;
pub mod stripped;
mod symbols;
mod tables;
pub mod tap;
pub mod test;
pub mod trace;
pub mod traffic;
pub mod workspace;
