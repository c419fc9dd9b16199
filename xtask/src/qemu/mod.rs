//! One virtual machine: how QEMU is called, watched, asked and ended.
//!
//! This room owns the QEMU process and its three channels: the guest's console (QEMU's standard output), QEMU's own
//! messages (its standard error) and QMP (a socket). It never decides what a console line means; `run` and the
//! tests do that.

mod command;
mod console;
mod exit;
mod files;
mod firmware;
mod process;
mod qmp;
mod translator;

pub use command::{Accelerator, MachineOptions, Network, devices};
pub use console::{Console, Event};
pub use exit::Exit;
pub use files::HostFile;
pub use firmware::Firmware;
pub use libos_contract::log_level::LogLevel;
pub use libos_contract::policy::FaultPolicy;
pub use libos_contract::protection::{Protection, ProtectionChoice};
pub use process::Machine;
pub(crate) use qmp::Qmp;
pub use translator::{GuestTime, Plugin};
