//! The NFIT: where persistent memory is, and what the platform does for its data (ACPI 6.5, section 5.2.25).
//!
//! Owns: reading the table and choosing the ranges that can be used as they are. Never: maps or touches them, and never
//! guesses: a range that contradicts the table, another range or the memory map is refused with its reason. All of it
//! works on a byte slice; no content can make it panic or loop.

mod structures;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use pmem_medium::DurableBy;
pub use structures::{Attributes, Capabilities, Health, NfitError};
use structures::{Structure, Structures};

use crate::addr::{AddrRange, PhysAddr};

/// A range of system physical addresses that is persistent memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaRange {
    /// The range's index in the table.
    pub index: u16,
    /// Where it begins; a multiple of 4 KiB.
    pub base: PhysAddr,
    /// Bytes; a multiple of 4 KiB, not 0.
    pub length: u64,
    /// Proximity domain (NUMA), if the table says one.
    pub proximity: Option<u32>,
    /// How the firmware expects the range to be cached.
    pub attributes: Attributes,
    /// Stores may not outlive a loss of power, since a module behind the range is not armed: do not write.
    pub read_only: bool,
    /// What the modules behind the range report.
    pub health: Health,
    /// What the platform does when power fails, if it says so.
    pub capabilities: Option<Capabilities>,
    /// Where any write flushes the memory controller's queues. Often there is no such place.
    pub flush_hints: Vec<PhysAddr>,
}

impl SpaRange {
    /// What makes bytes durable that are stored there. Platforms that describe no capabilities are older than their
    /// description: with them, as with most, what has come to the memory controller is safe.
    pub fn durable_by(&self) -> DurableBy {
        match self.capabilities {
            _ if self.read_only => DurableBy::Nothing,
            Some(Capabilities { cpu_cache_flush: true, .. }) => DurableBy::Eadr,
            Some(Capabilities { memory_controller_flush: false, .. }) => DurableBy::Memory,
            _ => DurableBy::Adr,
        }
    }
}

/// A persistent range that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The range's index in the table.
    pub index: u16,
    /// Where it begins.
    pub base: PhysAddr,
    /// Bytes.
    pub length: u64,
    /// Why.
    pub reason: Reason,
}

/// Why a persistent range cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no bytes.
    Empty,
    /// Its index is 0, or that of another range, so the rest of the table cannot refer to it.
    Index,
    /// It does not begin and end on a 4 KiB boundary.
    Unaligned,
    /// It ends beyond the 52 bits of a physical address.
    BeyondAddressSpace,
    /// It overlaps another persistent range.
    OverlapsRange,
    /// It overlaps ordinary memory.
    OverlapsMemory,
    /// The firmware could not map a module into it.
    NotMapped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Empty => "it is empty",
            Reason::Index => "its index is 0 or not unique",
            Reason::Unaligned => "it is not aligned to 4 KiB",
            Reason::BeyondAddressSpace => "it ends beyond the physical address space",
            Reason::OverlapsRange => "it overlaps another persistent range",
            Reason::OverlapsMemory => "it overlaps ordinary memory",
            Reason::NotMapped => "the firmware could not map a module into it",
        };
        let Self { index, base, length, .. } = self;
        write!(f, "NFIT: range {index} at {base:#x} with {length:#x} bytes is refused: {reason}")
    }
}

/// The persistent memory of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nfit {
    /// Usable ranges, sorted by base address.
    pub ranges: Vec<SpaRange>,
    /// The others, in the table's order.
    pub refused: Vec<Refused>,
}

const PAGE: u64 = 4096;
const PHYSICAL_ADDRESS_END: PhysAddr = PhysAddr::new(1 << 52);

/// Reads an NFIT whose checksum has been verified. `memory` are the physical ranges of ordinary memory.
pub fn parse(table: &[u8], memory: &[Range<PhysAddr>]) -> Result<Nfit, NfitError> {
    let structures = Structures::of(table).collect::<Result<Vec<_>, _>>()?;
    let capabilities = structures.iter().find_map(|structure| match structure {
        Structure::Capabilities(capabilities) => Some(*capabilities),
        _ => None,
    });

    let mut found: Vec<SpaRange> = structures
        .iter()
        .filter_map(|structure| match structure {
            Structure::PersistentRange { index, base, length, proximity, attributes } => Some(SpaRange {
                index: *index,
                base: *base,
                length: *length,
                proximity: *proximity,
                attributes: *attributes,
                read_only: false,
                health: Health::empty(),
                capabilities,
                flush_hints: Vec::new(),
            }),
            _ => None,
        })
        .collect();
    for range in &mut found {
        let mapped = structures.iter().filter_map(|structure| match structure {
            Structure::Mapping { module, range: index, health } if *index == range.index => Some((*module, *health)),
            _ => None,
        });
        for (module, health) in mapped {
            range.health |= health;
            range.flush_hints.extend(structures.iter().flat_map(|structure| match structure {
                Structure::FlushHints { module: of, addresses } if *of == module => addresses.as_slice(),
                _ => &[],
            }));
        }
        range.read_only = range.health.contains(Health::NOT_ARMED);
    }

    let reasons: Vec<Option<Reason>> = found.iter().map(|range| reason_against(range, &found, memory)).collect();
    let mut nfit = Nfit::default();
    for (range, reason) in found.into_iter().zip(reasons) {
        match reason {
            None => nfit.ranges.push(range),
            Some(reason) => {
                nfit.refused.push(Refused { index: range.index, base: range.base, length: range.length, reason });
            }
        }
    }
    nfit.ranges.sort_by_key(|range| range.base);
    Ok(nfit)
}

/// What speaks against using `range`, which is one of `all`.
fn reason_against(range: &SpaRange, all: &[SpaRange], memory: &[Range<PhysAddr>]) -> Option<Reason> {
    if range.length == 0 {
        return Some(Reason::Empty);
    }
    if range.index == 0 || all.iter().filter(|other| other.index == range.index).count() > 1 {
        return Some(Reason::Index);
    }
    if !range.base.is_aligned(PAGE) || !range.length.is_multiple_of(PAGE) {
        return Some(Reason::Unaligned);
    }
    let Some(end) = range.base.checked_add(range.length).filter(|end| *end <= PHYSICAL_ADDRESS_END) else {
        return Some(Reason::BeyondAddressSpace);
    };
    let overlaps = |other: &Range<PhysAddr>| !other.is_empty() && (range.base..end).overlaps(other);
    let others = all.iter().filter(|other| other.index != range.index);
    if others.map(|other| other.base..other.base.saturating_add(other.length)).any(|other| overlaps(&other)) {
        return Some(Reason::OverlapsRange);
    }
    if memory.iter().any(overlaps) {
        return Some(Reason::OverlapsMemory);
    }
    range.health.contains(Health::MAP_FAILED).then_some(Reason::NotMapped)
}
