//! Traps: the tables that lead to them, their entry and exit, and what is done about each kind.
//!
//! Above memory, locks and threads. What a trap means is decided by the rooms above, by a table of hooks.

pub mod backtrace;
mod entry;
mod frame;
pub(in crate::arch) mod gdt;
mod hooks;
pub(in crate::arch) mod idt;
mod init;
pub(crate) mod interrupted;
mod io_apic;
mod machine_check;
mod nmi;
#[cfg(feature = "testing")]
mod nmi_handler;
pub(crate) mod single_step;
pub mod vectors;

pub use frame::TrapFrame;
pub(crate) use hooks::{Hooks, set_hooks};
pub(crate) use init::init_stacks;
pub use init::{init_interrupts, init_traps};
pub use nmi::unexpected_nmis;
#[cfg(feature = "testing")]
pub use nmi_handler::set_nmi_handler;
