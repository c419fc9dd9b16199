//! One entry of a page table, bit by bit (SDM volume 3A, tables 4-15 to 4-20), and a table of 512.
//!
//! The one place that knows that some bits of a leaf lie elsewhere in the entry of a large page.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::flags::Flags;
use super::paging::{ADDRESS, ENTRIES, Mode, coverage};
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::keys::Permissions;

/// The CPU's marks: accessed and dirty.
const MARKS: u64 = 0b11 << 5;
/// A leaf above the lowest level. The same bit of a 4 KiB page's entry belongs to its place in the attribute table.
const PAGE_SIZE: u64 = 1 << 7;
/// Where a large page's entry has [`Flags::ATTRIBUTE_TABLE`].
const LARGE_ATTRIBUTE_TABLE: u64 = 1 << 12;

/// An entry as it stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    #[cfg(test)]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The entry as the CPU sees it.
    #[cfg(test)]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The entry that maps nothing.
    pub(crate) const UNUSED: Self = Self(0);

    /// An entry that leads to the table at this physical address. It restricts nothing: permissions are the leaf's.
    pub(crate) const fn table(physical: PhysAddr) -> Self {
        Self(physical.as_u64() | Flags::PRESENT | Flags::WRITABLE | Flags::USER)
    }

    /// An entry that leads nowhere and keeps the address of a table, or of none.
    pub(crate) fn parked(table: Option<PhysAddr>) -> Self {
        Self(table.map_or(0, PhysAddr::as_u64))
    }

    /// What [`Self::parked`] keeps.
    pub(crate) fn parked_table(self) -> Option<PhysAddr> {
        (self.0 != 0).then_some(PhysAddr::new(self.0))
    }

    /// A leaf at this level. `encryption` are bits of the mode's.
    pub(crate) const fn leaf(level: u32, physical: PhysAddr, flags: Flags, encryption: u64) -> Self {
        let bits = flags.bits();
        let placed = if level == 1 {
            bits
        } else {
            let table = if bits & Flags::ATTRIBUTE_TABLE != 0 { LARGE_ATTRIBUTE_TABLE } else { 0 };
            bits & !Flags::ATTRIBUTE_TABLE | table | PAGE_SIZE
        };
        Self(physical.as_u64() | encryption | placed)
    }

    pub(crate) const fn is_present(self) -> bool {
        self.0 & Flags::PRESENT != 0
    }

    /// Whether this present entry of a table at `level` maps a page; otherwise it leads to a table.
    pub(crate) const fn is_leaf(self, level: u32) -> bool {
        level == 1 || self.0 & PAGE_SIZE != 0
    }

    /// The physical address of the page or table that this present entry leads to.
    pub(crate) const fn physical(self, level: u32, mode: Mode) -> PhysAddr {
        // A pointer to a table has its address in all of the bits.
        PhysAddr::new(self.0 & mode.address_mask(if self.is_leaf(level) { level } else { 1 }))
    }

    /// This leaf, which maps what begins at `virtual_address`.
    pub(crate) fn describe(self, level: u32, mode: Mode, virtual_address: VirtAddr) -> Leaf {
        let mut bits = self.0 & !ADDRESS & !MARKS;
        if level > 1 {
            bits &= !PAGE_SIZE;
            if self.0 & LARGE_ATTRIBUTE_TABLE != 0 {
                bits |= Flags::ATTRIBUTE_TABLE;
            }
        }
        Leaf {
            virtual_address,
            physical_address: self.physical(level, mode),
            size: coverage(level),
            flags: Flags::from_bits(bits),
            encryption: self.0 & mode.encryption.mask,
        }
    }

    /// This leaf with other permissions. All other bits stay, whether this code knows them or not.
    pub(crate) const fn with_permissions(self, permissions: Permissions) -> Self {
        let wanted = Flags::from_bits(0).with_permissions(permissions).bits();
        Self(self.0 & !Flags::PERMISSIONS | wanted)
    }

    /// The part with this number, 0 to 511, of this leaf of a table at `level`: a leaf for the table below. All bits
    /// are its parent's but those of the address, and that of the attribute table which has its place elsewhere in
    /// the entries of 4 KiB pages.
    pub(crate) const fn part(self, level: u32, number: u64) -> Self {
        let mut bits = self.0;
        if level == 2 {
            let table = if bits & LARGE_ATTRIBUTE_TABLE != 0 { Flags::ATTRIBUTE_TABLE } else { 0 };
            bits = bits & !(PAGE_SIZE | LARGE_ATTRIBUTE_TABLE) | table;
        }
        Self(bits | (number * coverage(level - 1)))
    }
}

/// A present leaf entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where the page begins in the address space.
    pub virtual_address: VirtAddr,
    /// Where the page begins in physical memory.
    pub physical_address: PhysAddr,
    /// The page's size in bytes: 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// The page's attributes as they stand in the entry, the key among them.
    pub flags: Flags,
    /// The entry's address bits that say how the page is encrypted.
    pub encryption: u64,
}

impl Leaf {
    /// The addresses that it maps. (The last page of the address space ends at address 0, and is never mapped.)
    pub fn addresses(&self) -> Range<VirtAddr> {
        self.virtual_address..self.virtual_address.saturating_add(self.size)
    }

    /// The physical addresses that it maps them to.
    pub fn physical_addresses(&self) -> Range<PhysAddr> {
        Range::of(self.physical_address, self.size)
    }
}

/// A page table. The CPUs read it at any time and set marks in it, so each entry is read and written whole.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct PageTable([AtomicU64; ENTRIES]);

impl PageTable {
    /// A table that maps nothing.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    pub(crate) fn get(&self, index: usize) -> Entry {
        Entry(self.0[index].load(Ordering::Acquire))
    }

    /// What was written to a table before is seen by whoever follows an entry that leads there.
    pub(crate) fn set(&self, index: usize, entry: Entry) {
        self.0[index].store(entry.0, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|entry| entry.load(Ordering::Relaxed) == 0)
    }
}

impl Default for PageTable {
    fn default() -> Self {
        Self::new()
    }
}
