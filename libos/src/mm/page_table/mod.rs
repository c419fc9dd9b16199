//! Page tables: making, changing, removing and finding leaves. What an entry's bits mean, the architecture says.
//!
//! The arithmetic is independent of where tables lie: [`TableMemory`] says that, in the guest by the identity mapping,
//! in tests by a map. Never: flushes of what CPUs remember. Each change says by [`FlushRange`] what is to be flushed.

mod change;
mod map;
#[cfg(test)]
mod tests;
mod unmap;
mod walk;

pub use crate::arch::page_table::{Leaf, PageTable};
pub use unmap::RetiredTables;
pub use walk::translate;

use core::fmt;
use core::ops::Range;

use super::attributes::Attributes;
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::paging::{Mode, PAGE};

/// Where page tables come from and how one is reached by its physical address.
pub trait TableMemory {
    /// A new table that maps nothing; `None` when memory is full.
    fn allocate(&mut self) -> Option<PhysAddr>;
    /// Takes back a table that came from [`Self::allocate`] and that nothing reaches any more.
    fn release(&mut self, physical: PhysAddr);
    /// The table at this physical address, which came from [`Self::allocate`].
    fn table(&self, physical: PhysAddr) -> &PageTable;
}

/// A part of a mapping: each has memory of its own kind, with attributes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This physical memory.
    Memory {
        /// Where it is.
        physical: Range<PhysAddr>,
        /// How it is mapped.
        attributes: Attributes,
    },
    /// Nothing: a guard that faults.
    Hole {
        /// Its length in bytes.
        length: u64,
    },
}

impl Piece {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory { physical, .. } => physical.length(),
            Self::Hole { length } => *length,
        }
    }
}

/// Addresses whose translations CPUs may remember although they are no longer right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "CPUs go on using what they remember"]
pub struct FlushRange {
    range: Range<VirtAddr>,
}

impl FlushRange {
    /// Nothing has changed.
    pub const NOTHING: Self = Self { range: VirtAddr::ZERO..VirtAddr::ZERO };

    /// What is to be flushed: whole pages, large ones in full.
    pub fn range(&self) -> Range<VirtAddr> {
        self.range.clone()
    }

    /// Takes the other in, and whatever lies between the two.
    pub fn merge(&mut self, other: Self) {
        if !other.range.is_empty() {
            self.add(&other.range);
        }
    }

    fn add(&mut self, more: &Range<VirtAddr>) {
        if self.range.is_empty() {
            self.range = more.clone();
        } else {
            self.range = self.range.start.min(more.start)..self.range.end.max(more.end);
        }
    }
}

/// Why pages could not be mapped, changed or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// A start or a length is not a multiple of 4 KiB.
    Misaligned,
    /// The CPU cannot use this address, or the range from it on leaves its half of the address space.
    NotCanonical(VirtAddr),
    /// There cannot be memory at this physical address.
    BadPhysical(PhysAddr),
    /// Something is mapped at this address already.
    AlreadyMapped(VirtAddr),
    /// Nothing is mapped at this address.
    NotMapped(VirtAddr),
    /// There is no frame left for a page table.
    OutOfMemory,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("address or length is not a multiple of 4 KiB"),
            Self::NotCanonical(at) => write!(f, "{at:#x} is not an address, or the range goes beyond the last one"),
            Self::BadPhysical(at) => write!(f, "there can be no memory at the physical address {at:#x}"),
            Self::AlreadyMapped(at) => write!(f, "address {at:#x} is mapped already"),
            Self::NotMapped(at) => write!(f, "nothing is mapped at {at:#x}"),
            Self::OutOfMemory => f.write_str("no memory is left for a page table"),
        }
    }
}

impl core::error::Error for MapError {}

/// One tree of page tables.
#[derive(Debug)]
pub struct AddressSpace<M> {
    memory: M,
    mode: Mode,
    root: PhysAddr,
    /// The first of the tables that were taken out of the tree.
    retired: Option<PhysAddr>,
}

impl<M: TableMemory> AddressSpace<M> {
    /// An address space with nothing mapped.
    pub fn new(mut memory: M, mode: Mode) -> Result<Self, MapError> {
        let root = memory.allocate().ok_or(MapError::OutOfMemory)?;
        Ok(Self { memory, mode, root, retired: None })
    }

    /// The physical address of the root table, as the CPU is told it.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// Whole pages, all of them addresses, all in one half of the address space.
    fn check_range(&self, range: &Range<VirtAddr>) -> Result<(), MapError> {
        if !range.is_aligned(PAGE) {
            return Err(MapError::Misaligned);
        }
        let levels = self.mode.levels;
        // The end itself need not be an address. The very last page is left out, so that an end is never 0.
        let last = range.end.wrapping_sub(1);
        let one_half = range.start <= range.end && (range.start.as_u64() ^ last.as_u64()) >> 63 == 0;
        if range.start != range.end && !(one_half && levels.is_canonical(range.start) && levels.is_canonical(last)) {
            return Err(MapError::NotCanonical(range.start));
        }
        Ok(())
    }
}
