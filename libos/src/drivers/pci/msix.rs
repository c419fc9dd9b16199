//! MSI-X: interrupts that a device raises by a write to memory (PCI Local Bus Specification 3.0, section 6.8.2).

use super::config::{ConfigSpace, Function, MSI_X};
use crate::addr::PhysAddr;

/// What a function's MSI-X capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixCapability {
    offset: u8,
    /// The number of interrupts, 1 to 2048.
    pub entries: u16,
    /// The memory region that holds the table.
    pub table_bar: u8,
    /// Where in it the table begins.
    pub table_offset: u32,
}

/// The length of a table entry.
pub const ENTRY_LEN: usize = 16;

impl MsixCapability {
    /// The function's capability, if it has one.
    pub fn find<C: ConfigSpace>(function: &Function<'_, C>) -> Option<Self> {
        let capability = function.capabilities().find(|capability| capability.id == MSI_X)?;
        // The capability is three registers long; its place comes from the device.
        let table = function.read(capability.offset.checked_add(4)?);
        Some(Self {
            offset: capability.offset,
            entries: (function.read(capability.offset) >> 16) as u16 % 2048 + 1,
            table_bar: (table & 7) as u8,
            table_offset: table & !7,
        })
    }

    /// Turns MSI-X on, with no interrupt masked by the function as a whole.
    pub fn enable<C: ConfigSpace>(&self, function: &Function<'_, C>) {
        let control = function.read(self.offset) & !(1 << 30);
        function.write(self.offset, control | 1 << 31);
    }
}

/// The four words of a table entry: where the device writes what, unmasked.
pub fn entry(address: PhysAddr, data: u32) -> [u32; 4] {
    let address = address.as_u64();
    [address as u32, (address >> 32) as u32, data, 0]
}
