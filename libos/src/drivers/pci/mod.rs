//! PCI: which devices there are, and how their registers and interrupts are reached.
//!
//! Owns configuration space. Finds functions behind bridges, measures their memory regions, gives them places where the
//! firmware has not, walks their capabilities and sets up MSI-X; hands what it finds to the driver that knows the
//! device. What a device says of itself is checked: no content of configuration space makes a walk endless or an
//! address wrap. Never: legacy interrupt lines.

mod config;
#[cfg(test)]
pub(crate) mod fake;
mod msix;
mod place;
#[cfg(target_os = "hermit")]
mod ports;
mod scan;
#[cfg(test)]
mod tests;

pub use config::{Address, Bar, Capability, ConfigSpace, Function, VENDOR_SPECIFIC};
pub use msix::{ENTRY_LEN, MsixCapability, entry};
pub use place::place;
#[cfg(target_os = "hermit")]
pub use ports::Ports;
pub use scan::scan;

#[cfg(target_os = "hermit")]
use crate::console;

/// How a driver is shown the devices that it is for.
#[cfg(target_os = "hermit")]
pub struct Driver {
    /// Whether it is for a device with this vendor's number and this number of the vendor's.
    pub is_for: fn((u16, u16)) -> bool,
    /// Takes such a device. One that does not work is reported on the console and left alone.
    pub probe: fn(&Function<'_, Ports>),
}

/// Finds the devices and shows them to these drivers.
#[cfg(target_os = "hermit")]
pub fn init(drivers: &[Driver]) {
    scan(&Ports, |function| {
        let ids @ (vendor, device) = function.vendor_device();
        console::debug(format_args!("PCI: {} is {vendor:04x}:{device:04x}", function.address));
        if let Some(driver) = drivers.iter().find(|driver| (driver.is_for)(ids)) {
            (driver.probe)(function);
        }
    });
}
