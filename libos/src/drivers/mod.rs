//! Drivers: what the firmware says about the machine, and the devices that Holdfast uses.
//!
//! Owns: device registers and the parsing of what devices and firmware say. Never: policy about the data behind a
//! device, sockets, or threads beyond the few that a device needs. Parsers work on byte slices, compile on the host too
//! and are tested there; only what touches a register is for the guest alone.

pub mod acpi;
#[cfg(target_os = "hermit")]
pub mod entropy;
#[cfg(target_os = "hermit")]
pub mod ivshmem;
pub mod nfit;
pub mod pci;
#[cfg(target_os = "hermit")]
pub mod power;
pub mod rtc;
pub mod virtio;

/// The drivers of PCI devices.
#[cfg(target_os = "hermit")]
pub const PCI_DRIVERS: [pci::Driver; 1] = [virtio::net::DRIVER];
