//! Configuration space: where it is, how it is read, and what its registers mean (PCI Local Bus Specification 3.0,
//! chapter 6).

use core::fmt;

use crate::addr::PhysAddr;

/// Names one function of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The bus, 0 to 255.
    pub bus: u8,
    /// The device on the bus, 0 to 31.
    pub device: u8,
    /// The function of the device, 0 to 7.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// A way to configuration space. Offsets are multiples of four below 256.
pub trait ConfigSpace {
    /// Reads a register; all ones where there is no function.
    fn read(&self, address: Address, offset: u8) -> u32;
    /// Writes a register.
    fn write(&self, address: Address, offset: u8, value: u32);
}

/// A memory region that a function decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where it is; 0 if the firmware gave it no place.
    pub address: PhysAddr,
    /// Its length, a power of two.
    pub len: u64,
}

/// A capability in a function's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its kind: 0x11 is MSI-X, 0x09 vendor-specific.
    pub id: u8,
    /// Where it begins in configuration space.
    pub offset: u8,
}

/// The vendor-specific capability's identifier.
pub const VENDOR_SPECIFIC: u8 = 0x09;
/// The MSI-X capability's identifier.
pub const MSI_X: u8 = 0x11;

const ID: u8 = 0x00;
const COMMAND: u8 = 0x04;
const CLASS: u8 = 0x08;
const HEADER_TYPE: u8 = 0x0c;
const BAR0: u8 = 0x10;
const BUS_NUMBERS: u8 = 0x18;
const CAPABILITIES: u8 = 0x34;

const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_NO_INTX: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 20;

/// One function.
pub struct Function<'a, C: ConfigSpace> {
    space: &'a C,
    /// Where it is.
    pub address: Address,
}

impl<'a, C: ConfigSpace> Function<'a, C> {
    /// The function at `address`, if there is one.
    pub fn find(space: &'a C, address: Address) -> Option<Self> {
        let function = Self { space, address };
        (function.vendor_device().0 != 0xffff).then_some(function)
    }

    /// Reads the register at `offset`, a multiple of four.
    pub fn read(&self, offset: u8) -> u32 {
        self.space.read(self.address, offset & !3)
    }

    /// Writes the register at `offset`, a multiple of four.
    pub fn write(&self, offset: u8, value: u32) {
        self.space.write(self.address, offset & !3, value);
    }

    /// The vendor's and the device's number.
    pub fn vendor_device(&self) -> (u16, u16) {
        let id = self.read(ID);
        (id as u16, (id >> 16) as u16)
    }

    /// Whether the device has functions beside number 0.
    pub fn is_multifunction(&self) -> bool {
        self.read(HEADER_TYPE) & 1 << 23 != 0
    }

    fn header_type(&self) -> u8 {
        (self.read(HEADER_TYPE) >> 16) as u8 & 0x7f
    }

    /// The bus behind this function, if it is a PCI-to-PCI bridge.
    pub fn secondary_bus(&self) -> Option<u8> {
        let is_bridge = self.header_type() == 1 && self.read(CLASS) >> 16 == 0x0604;
        is_bridge.then(|| (self.read(BUS_NUMBERS) >> 8) as u8)
    }

    /// Lets the function decode its memory and do transfers of its own, with message-signalled interrupts only.
    pub fn enable(&self) {
        let command = self.read(COMMAND) & 0xffff;
        self.write(COMMAND, command | COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_NO_INTX);
    }

    /// The memory region number `index`. `None` for I/O ports, absent regions and the upper half of 64-bit ones.
    pub fn bar(&self, index: u8) -> Option<Bar> {
        if self.header_type() != 0 || index > 5 {
            return None;
        }
        let offset = BAR0 + 4 * index;
        // A 64-bit region takes the next register, too, so which registers begin a region is known only from the first
        // on.
        let mut first = 0;
        while first < index {
            first += if self.read(BAR0 + 4 * first) & 7 == 4 { 2 } else { 1 };
        }
        if first != index {
            return None;
        }
        let low = self.read(offset);
        // Bit 0: I/O ports. Bits 1 and 2: 0 for a 32-bit, 2 for a 64-bit address (section 6.2.5.1).
        let is_64 = match low & 7 {
            0 => false,
            4 if index < 5 => true,
            _ => return None,
        };
        // The length shows in the bits that stay zero when all are written as ones. Meanwhile the function must not
        // decode.
        let command = self.read(COMMAND) & 0xffff;
        self.write(COMMAND, command & !COMMAND_MEMORY);
        let probe = |offset, value| {
            self.write(offset, 0xffff_ffff);
            let mask = self.read(offset);
            self.write(offset, value);
            mask
        };
        let mut mask = 0xffff_ffff_0000_0000 | u64::from(probe(offset, low) & !0xf);
        let mut address = u64::from(low & !0xf);
        if is_64 {
            let high = self.read(offset + 4);
            mask = mask & 0xffff_ffff | u64::from(probe(offset + 4, high)) << 32;
            address |= u64::from(high) << 32;
        }
        self.write(COMMAND, command);
        let len = mask & mask.wrapping_neg();
        (mask & 0xffff_ffff != 0 || (is_64 && mask != 0)).then_some(Bar { address: PhysAddr::new(address), len })
    }

    /// Gives the memory region number `index`, which does not decode yet, a place. `false`: it cannot be there, since
    /// its address has 32 bits only, or it does not keep it.
    pub fn place(&self, index: u8, address: PhysAddr) -> bool {
        let offset = BAR0 + 4 * index;
        let is_64 = self.read(offset) & 7 == 4;
        let (low, high) = (address.as_u64() as u32, (address.as_u64() >> 32) as u32);
        if high != 0 && !is_64 {
            return false;
        }
        self.write(offset, low);
        if is_64 {
            self.write(offset + 4, high);
        }
        self.bar(index).is_some_and(|bar| bar.address == address)
    }

    /// The capabilities, in the order of their list. A list that does not end is cut off.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        let listed = self.read(COMMAND) & STATUS_CAPABILITIES != 0;
        let mut next = if listed { self.read(CAPABILITIES) as u8 & !3 } else { 0 };
        // No more fit between the header and the end of configuration space.
        let mut left = (256 - 64) / 4;
        core::iter::from_fn(move || {
            if next < 0x40 || left == 0 {
                return None;
            }
            left -= 1;
            let head = self.read(next);
            let capability = Capability { id: head as u8, offset: next };
            next = (head >> 8) as u8 & !3;
            Some(capability)
        })
    }
}
