//! The campaign at a store that is a process of Linux: `cargo xtask faults --native`.
//!
//! Faults, plans, load, judgement, records and report are those of the guest's campaign; this room owns how a process
//! is stopped, looked into and changed. Where the computer has protection keys the store runs on it. Where it has none
//! all runs of a campaign are made in one boot of Debian's kernel in QEMU, whose processor has keys: the [`worker`] is
//! put in there with the store, and says each finished run in a line. It is the same program at both [`place`]s.
//!
//! [`strays`] is the other thing that a process is good for: millions of stores to closed memory, one by one.

pub mod campaign;
mod debugger;
pub mod maps;
pub mod memory;
pub mod place;
pub mod process;
mod ptrace;
pub mod run;
pub mod store;
pub mod strays;
pub mod worker;
