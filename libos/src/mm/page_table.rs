//! Four-level page tables (Intel SDM volume 3A, section 4.5): making, removing and finding leaves.
//!
//! The arithmetic is independent of where tables lie: [`TableMemory`] says that, in the guest by the identity mapping, in
//! tests by a map.

use core::fmt;
use core::ops::Range;

use x86_64::structures::paging::{PageTable, PageTableFlags};

use super::attributes::Attributes;
use super::layout::PAGE;

/// Where page tables come from and how one is reached by its physical address.
pub trait TableMemory {
    /// A new table with 512 entries that are not present; `None` when memory is full.
    fn allocate(&mut self) -> Option<u64>;
    /// The table at this physical address, which came from [`Self::allocate`].
    fn table(&mut self, physical: u64) -> &mut PageTable;
}

/// A present leaf entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where the page begins in the address space.
    pub virtual_address: u64,
    /// Where the page begins in physical memory.
    pub physical_address: u64,
    /// The page's size in bytes: 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// The entry's flags, the key's bits 62:59 among them.
    pub flags: PageTableFlags,
}

/// Why pages could not be mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// A start or a length is not a multiple of 4 KiB.
    Misaligned,
    /// Something is mapped at this address already.
    AlreadyMapped(u64),
    /// Nothing is mapped at this address, or a page larger than 4 KiB.
    NotMapped(u64),
    /// There is no frame left for a page table.
    OutOfMemory,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("address or length is not a multiple of 4 KiB"),
            Self::AlreadyMapped(at) => write!(f, "address {at:#x} is mapped already"),
            Self::NotMapped(at) => write!(f, "no 4 KiB page is mapped at {at:#x}"),
            Self::OutOfMemory => f.write_str("no memory is left for a page table"),
        }
    }
}

/// The levels of the hierarchy, from the root (PML4) to the tables of 4 KiB pages.
const ROOT_LEVEL: u32 = 4;

/// The size of what one entry at this level covers, in bytes.
const fn coverage(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// The place of an address's entry in its table at this level.
const fn index(address: u64, level: u32) -> usize {
    (address / coverage(level) % 512) as usize
}

/// One tree of page tables.
#[derive(Debug)]
pub struct AddressSpace<M> {
    memory: M,
    root: u64,
    largest_leaf: u64,
}

impl<M: TableMemory> AddressSpace<M> {
    /// An address space with nothing mapped. `gibibyte_pages` says whether the CPU has 1 GiB pages.
    pub fn new(mut memory: M, gibibyte_pages: bool) -> Result<Self, MapError> {
        let root = memory.allocate().ok_or(MapError::OutOfMemory)?;
        Ok(Self { memory, root, largest_leaf: coverage(if gibibyte_pages { 3 } else { 2 }) })
    }

    /// The physical address of the root table, as CR3 holds it.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Maps `range` to the physical memory from `physical` on, with the largest pages that fit. On an error the pages
    /// before the one that it names are mapped.
    pub fn map(&mut self, range: Range<u64>, physical: u64, attributes: Attributes) -> Result<(), MapError> {
        if !(range.start | range.end | physical).is_multiple_of(PAGE) {
            return Err(MapError::Misaligned);
        }
        let mut at = range.start;
        while at < range.end {
            let target = physical + (at - range.start);
            let level = self.leaf_level(at | target, range.end - at);
            self.map_leaf(at, target, level, attributes)?;
            at += coverage(level);
        }
        Ok(())
    }

    /// The highest level whose leaf fits the alignment of `addresses` and the length that is left.
    fn leaf_level(&self, addresses: u64, length: u64) -> u32 {
        let fits = |&level: &u32| {
            let size = coverage(level);
            size <= self.largest_leaf && addresses.is_multiple_of(size) && length >= size
        };
        (2..ROOT_LEVEL).rev().find(fits).unwrap_or(1)
    }

    fn map_leaf(&mut self, at: u64, physical: u64, level: u32, attributes: Attributes) -> Result<(), MapError> {
        let mut table = self.root;
        for above in (level + 1..=ROOT_LEVEL).rev() {
            let entry = &self.memory.table(table)[index(at, above)];
            if entry.flags().contains(PageTableFlags::HUGE_PAGE) {
                return Err(MapError::AlreadyMapped(at));
            }
            table = if entry.is_unused() {
                let new = self.memory.allocate().ok_or(MapError::OutOfMemory)?;
                // A table's own entry restricts nothing: permissions and the key are the leaf's.
                let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::USER_ACCESSIBLE;
                self.memory.table(table)[index(at, above)].set_addr(x86_64::PhysAddr::new(new), flags);
                new
            } else {
                entry.addr().as_u64()
            };
        }
        let entry = &mut self.memory.table(table)[index(at, level)];
        if !entry.is_unused() {
            return Err(MapError::AlreadyMapped(at));
        }
        let mut flags = attributes.flags();
        flags.set(PageTableFlags::HUGE_PAGE, level > 1);
        entry.set_addr(x86_64::PhysAddr::new(physical), flags);
        Ok(())
    }

    /// Removes the 4 KiB page at `at`; the physical address that it had. The caller flushes the TLB entry.
    pub fn unmap_page(&mut self, at: u64) -> Result<u64, MapError> {
        let leaf = self.translate(at).filter(|leaf| leaf.size == PAGE).ok_or(MapError::NotMapped(at))?;
        let mut table = self.root;
        for above in (2..=ROOT_LEVEL).rev() {
            table = self.memory.table(table)[index(at, above)].addr().as_u64();
        }
        self.memory.table(table)[index(at, 1)].set_unused();
        Ok(leaf.physical_address)
    }

    /// The leaf that maps this address.
    pub fn translate(&mut self, address: u64) -> Option<Leaf> {
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let entry = &self.memory.table(table)[index(address, level)];
            let flags = entry.flags();
            if !flags.contains(PageTableFlags::PRESENT) {
                return None;
            }
            if level == 1 || flags.contains(PageTableFlags::HUGE_PAGE) {
                let size = coverage(level);
                return Some(Leaf {
                    virtual_address: address & !(size - 1),
                    physical_address: leaf_address(entry.addr().as_u64(), size),
                    size,
                    flags,
                });
            }
            table = entry.addr().as_u64();
        }
        None
    }

    /// Calls `visit` for every present leaf, in the order of addresses.
    pub fn for_each_leaf(&mut self, mut visit: impl FnMut(Leaf)) {
        self.visit_table(self.root, ROOT_LEVEL, 0, &mut visit);
    }

    fn visit_table(&mut self, table: u64, level: u32, base: u64, visit: &mut impl FnMut(Leaf)) {
        for entry in 0..512 {
            let found = &self.memory.table(table)[entry as usize];
            let (flags, target) = (found.flags(), found.addr().as_u64());
            let size = coverage(level);
            let virtual_address = base + entry * size;
            if !flags.contains(PageTableFlags::PRESENT) {
                continue;
            }
            if level == 1 || flags.contains(PageTableFlags::HUGE_PAGE) {
                let physical_address = leaf_address(target, size);
                visit(Leaf { virtual_address, physical_address, size, flags });
            } else {
                self.visit_table(target, level - 1, virtual_address, visit);
            }
        }
    }
}

/// The address in a leaf entry; a large page's low address bits hold other things (PAT is bit 12).
fn leaf_address(bits: u64, size: u64) -> u64 {
    bits & !(size - 1)
}

#[cfg(test)]
mod tests;
