//! Finding tables: root pointer, root table, signature, length, checksum (ACPI 6.5, sections 5.2.5 to 5.2.8).

use core::fmt;
use core::ops::Range;

use super::AcpiError;
use super::bytes::{address_32_at, address_64_at, array_at, u8_at, u32_at};
use crate::addr::{AddrRange, PhysAddr};

/// Physical memory as the parser sees it.
pub trait PhysicalMemory {
    /// `length` bytes at `address`, or `None` if any of them is not readable memory.
    fn bytes(&self, address: PhysAddr, length: usize) -> Option<&[u8]>;
}

/// The four letters that name a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    pub(super) const DSDT: Self = Self(*b"DSDT");
    pub(super) const FADT: Self = Self(*b"FACP");
    pub(super) const MADT: Self = Self(*b"APIC");
    pub(super) const NFIT: Self = Self(*b"NFIT");
    pub(super) const RSDP: Self = Self(*b"RSD ");
    pub(super) const RSDT: Self = Self(*b"RSDT");
    pub(super) const XSDT: Self = Self(*b"XSDT");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Length of the header that all tables share.
pub const HEADER_LENGTH: usize = 36;

/// No table is longer than this: real ones are not, and the bound keeps a bad length field from being believed.
const LONGEST_TABLE: usize = 1 << 20;

/// Where a BIOS keeps the root pointer, on a 16-byte boundary.
const BIOS_AREA: Range<PhysAddr> = PhysAddr::new(0xe_0000)..PhysAddr::new(0x10_0000);

/// How the root pointer begins.
const POINTER: &[u8] = b"RSD PTR ";

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// The table at `address`: it is readable, has this signature, and adds up to zero.
pub fn read(memory: &impl PhysicalMemory, address: PhysAddr, wanted: Signature) -> Result<&[u8], AcpiError> {
    let header = memory.bytes(address, HEADER_LENGTH).ok_or(AcpiError::Unreadable(address))?;
    let found = array_at(header, 0).map(Signature).ok_or(AcpiError::Unreadable(address))?;
    if found != wanted {
        return Err(AcpiError::Signature(wanted, found));
    }
    let length = u32_at(header, 4).ok_or(AcpiError::Unreadable(address))?;
    let bytes = match usize::try_from(length) {
        Ok(bytes @ HEADER_LENGTH..=LONGEST_TABLE) => bytes,
        _ => return Err(AcpiError::Length(wanted, length)),
    };
    let table = memory.bytes(address, bytes).ok_or(AcpiError::Unreadable(address))?;
    if sums_to_zero(table) { Ok(table) } else { Err(AcpiError::Checksum(wanted)) }
}

/// The root table (XSDT, or RSDT on ACPI 1.0): a list of the other tables' addresses.
pub struct Root<'m, M> {
    memory: &'m M,
    table: &'m [u8],
    entry_length: usize,
}

impl<'m, M: PhysicalMemory> Root<'m, M> {
    /// Follows the root pointer at `rsdp`, or else the first valid one in the BIOS area.
    pub fn find(memory: &'m M, rsdp: Option<PhysAddr>) -> Result<Self, AcpiError> {
        if let Some(address) = rsdp {
            return Self::from_pointer(memory, address);
        }
        let area = memory.bytes(BIOS_AREA.start, BIOS_AREA.length() as usize).ok_or(AcpiError::NoRootPointer)?;
        let candidates = BIOS_AREA.steps(16).zip(area.chunks_exact(16));
        candidates
            .filter(|(_, paragraph)| paragraph.starts_with(POINTER))
            .map(|(address, _)| Self::from_pointer(memory, address))
            .find(|root| !matches!(root, Err(AcpiError::NoRootPointer)))
            .unwrap_or(Err(AcpiError::NoRootPointer))
    }

    fn from_pointer(memory: &'m M, address: PhysAddr) -> Result<Self, AcpiError> {
        let first = memory.bytes(address, 20).ok_or(AcpiError::NoRootPointer)?;
        if !first.starts_with(POINTER) || !sums_to_zero(first) {
            return Err(AcpiError::NoRootPointer);
        }
        if u8_at(first, 15) >= Some(2) {
            let pointer = memory.bytes(address, 36).ok_or(AcpiError::Unreadable(address))?;
            if !sums_to_zero(pointer) {
                return Err(AcpiError::Checksum(Signature::RSDP));
            }
            if let Some(xsdt) = address_64_at(pointer, 24).filter(|at| *at != PhysAddr::ZERO) {
                return Ok(Self { memory, table: read(memory, xsdt, Signature::XSDT)?, entry_length: 8 });
            }
        }
        let rsdt = address_32_at(first, 16).unwrap_or(PhysAddr::ZERO);
        Ok(Self { memory, table: read(memory, rsdt, Signature::RSDT)?, entry_length: 4 })
    }

    /// The first table with this signature, or `None` if the root does not list one.
    pub fn table(&self, wanted: Signature) -> Result<Option<&'m [u8]>, AcpiError> {
        for entry in self.table[HEADER_LENGTH..].chunks_exact(self.entry_length) {
            let address = match self.entry_length {
                4 => address_32_at(entry, 0),
                _ => address_64_at(entry, 0),
            };
            let Some(address) = address.filter(|at| *at != PhysAddr::ZERO) else { continue };
            let signature = self.memory.bytes(address, 4).ok_or(AcpiError::Unreadable(address))?;
            if signature == wanted.0 {
                return read(self.memory, address, wanted).map(Some);
            }
        }
        Ok(None)
    }
}
