//! The NFIT's structures, one after the other.

use alloc::vec::Vec;
use core::fmt;

use bitflags::bitflags;

use crate::addr::PhysAddr;
use crate::drivers::acpi::bytes::{address_64_at, array_at, u8_at, u16_at, u32_at, u64_at};

bitflags! {
    /// State flags of the modules behind a range (table 5.133, offset 44).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Health: u16 {
        /// The last save of its content failed: data may be lost.
        const SAVE_FAILED = 1 << 0;
        /// The last restore of its content failed: data may be lost.
        const RESTORE_FAILED = 1 << 1;
        /// The platform failed to flush its buffers at the last shutdown: data may be lost.
        const FLUSH_FAILED = 1 << 2;
        /// It is not armed: what is stored now may not survive a loss of power.
        const NOT_ARMED = 1 << 3;
        /// It has seen health events.
        const HEALTH_EVENTS = 1 << 4;
        /// The firmware did not map it.
        const MAP_FAILED = 1 << 6;
    }
}

bitflags! {
    /// Memory attributes of a range, as in the UEFI memory map.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// May be mapped uncacheable.
        const UNCACHEABLE = 1 << 0;
        /// May be mapped write-combining.
        const WRITE_COMBINING = 1 << 1;
        /// May be mapped write-through.
        const WRITE_THROUGH = 1 << 2;
        /// May be mapped write-back.
        const WRITE_BACK = 1 << 3;
        /// Is not volatile.
        const NON_VOLATILE = 1 << 15;
    }
}

/// What the platform does when power fails (structure type 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// CPU caches are flushed: data is durable once it is globally visible (eADR).
    pub cpu_cache_flush: bool,
    /// The memory controllers' queues are flushed: data is durable once it is written back (ADR).
    pub memory_controller_flush: bool,
}

/// Why the whole table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NfitError {
    /// It is shorter than its header.
    TooShort,
    /// The structure at this offset has an impossible length, or is too short for its type.
    Structure(usize),
}

impl fmt::Display for NfitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "NFIT: shorter than its header"),
            Self::Structure(offset) => write!(f, "NFIT: bad structure at offset {offset}"),
        }
    }
}

impl core::error::Error for NfitError {}

/// A structure of the table.
#[derive(Clone, Debug)]
pub enum Structure {
    /// Type 0 with the GUID of persistent memory.
    PersistentRange { index: u16, base: PhysAddr, length: u64, proximity: Option<u32>, attributes: Attributes },
    /// Type 1: part of a module is mapped into a range.
    Mapping { module: u32, range: u16, health: Health },
    /// Type 6.
    FlushHints { module: u32, addresses: Vec<PhysAddr> },
    /// Type 7.
    Capabilities(Capabilities),
    /// One that we have no use for.
    Other,
}

/// GUID 66F0D379-B4F3-4074-AC43-0D3318B78CDB as it stands in the table.
const PERSISTENT_MEMORY: [u8; 16] =
    [0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb];

/// Offset of the first structure: the common header and 4 reserved bytes.
const FIRST: usize = 40;

/// The structures of a table. Ends after the first error.
pub struct Structures<'t> {
    table: &'t [u8],
    offset: usize,
}

impl<'t> Structures<'t> {
    pub fn of(table: &'t [u8]) -> Self {
        Self { table, offset: FIRST }
    }
}

impl Iterator for Structures<'_> {
    type Item = Result<Structure, NfitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        if offset == self.table.len() {
            return None;
        }
        self.offset = self.table.len();
        let Some(rest) = self.table.get(offset..) else {
            return Some(Err(NfitError::TooShort));
        };
        let length = u16_at(rest, 2).map_or(0, usize::from);
        let structure = rest.get(..length).filter(|_| length >= 4).and_then(parse);
        if structure.is_some() {
            self.offset = offset + length;
        }
        Some(structure.ok_or(NfitError::Structure(offset)))
    }
}

/// The content of one structure; `None` if it is too short for its type.
fn parse(bytes: &[u8]) -> Option<Structure> {
    const PROXIMITY_VALID: u16 = 1 << 1;
    Some(match u16_at(bytes, 0)? {
        0 => {
            let (flags, proximity, guid) = (u16_at(bytes, 6)?, u32_at(bytes, 12)?, array_at(bytes, 16)?);
            let (base, length, attributes) = (address_64_at(bytes, 32)?, u64_at(bytes, 40)?, u64_at(bytes, 48)?);
            if guid != PERSISTENT_MEMORY {
                return Some(Structure::Other);
            }
            Structure::PersistentRange {
                index: u16_at(bytes, 4)?,
                base,
                length,
                proximity: (flags & PROXIMITY_VALID != 0).then_some(proximity),
                attributes: Attributes::from_bits_truncate(attributes),
            }
        }
        1 => Structure::Mapping {
            module: u32_at(bytes, 4)?,
            range: u16_at(bytes, 12)?,
            health: Health::from_bits_truncate(u16_at(bytes, 44)?),
        },
        6 => {
            let count = usize::from(u16_at(bytes, 8)?);
            let addresses = bytes.get(16..16 + 8 * count)?;
            let addresses = addresses.chunks_exact(8).filter_map(|address| address_64_at(address, 0)).collect();
            Structure::FlushHints { module: u32_at(bytes, 4)?, addresses }
        }
        7 => {
            // Bits above the highest valid one mean nothing.
            let (highest, bits) = (u8_at(bytes, 4)?, u32_at(bytes, 8)?);
            let set = |bit: u8| bit <= highest && bits & 1 << bit != 0;
            Structure::Capabilities(Capabilities { cpu_cache_flush: set(0), memory_controller_flush: set(1) })
        }
        _ => Structure::Other,
    })
}
