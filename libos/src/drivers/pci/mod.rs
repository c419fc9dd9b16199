//! PCI: which devices there are, and how their registers and interrupts are reached.
//!
//! Owns configuration space. Finds functions behind bridges, measures their memory regions, walks their capabilities
//! and sets up MSI-X; hands what it finds to the driver that knows the device. What a device says of itself is checked:
//! no content of configuration space makes a walk endless or an address wrap. Never: legacy interrupt lines.

mod config;
#[cfg(test)]
pub(crate) mod fake;
mod msix;
#[cfg(target_os = "hermit")]
mod ports;
mod scan;
#[cfg(test)]
mod tests;

pub use config::{Address, Bar, Capability, ConfigSpace, Function, VENDOR_SPECIFIC};
pub use msix::{ENTRY_LEN, MsixCapability, entry};
#[cfg(target_os = "hermit")]
pub use ports::Ports;
pub use scan::scan;

/// Finds the devices and shows them to their drivers. A device that does not work is reported on the console and left
/// alone.
#[cfg(target_os = "hermit")]
pub fn init() {
    scan(&Ports, |function| {
        if super::virtio::net::is_network_card(function.vendor_device()) {
            super::virtio::net::found(function);
        }
    });
}
