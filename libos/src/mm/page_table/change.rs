//! Changing leaves: their permissions, and the size of their pages.

use core::ops::Range;

use super::{AddressSpace, FlushRange, Leaf, MapError, TableMemory};
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::page_table::Entry;
use crate::arch::paging::{ENTRIES, coverage, index};
use crate::mm::attributes::Permissions;

impl<M: TableMemory> AddressSpace<M> {
    /// Gives the whole of `range` these permissions; key, cacheability, encryption and all else stay as they are. Pages
    /// that reach over its ends are split. On an error no permission has changed.
    pub fn protect(&mut self, range: Range<VirtAddr>, permissions: Permissions) -> Result<FlushRange, MapError> {
        self.check_range(&range)?;
        let mut to_flush = FlushRange::NOTHING;
        let mut at = range.start;
        while at < range.end {
            let leaf = self.translate(at).ok_or(MapError::NotMapped(at))?;
            if leaf.flags.with_permissions(permissions) != leaf.flags {
                to_flush.add(&leaf.addresses());
            }
            at = leaf.addresses().end;
        }
        // Where nothing is to change, nothing is split.
        let changing = to_flush.range.start.max(range.start)..to_flush.range.end.min(range.end);
        if changing.start < changing.end {
            self.split_at(changing.start)?;
            self.split_at(changing.end)?;
            let mut at = changing.start;
            while at < changing.end {
                at = self.change_leaf(at, |entry| entry.with_permissions(permissions)).end;
            }
        }
        Ok(to_flush)
    }

    /// Makes a page begin at `at`, if any covers it.
    pub(super) fn split_at(&mut self, at: VirtAddr) -> Result<(), MapError> {
        while let Some(leaf) = self.translate(at)
            && leaf.virtual_address != at
        {
            self.split(leaf)?;
        }
        Ok(())
    }

    /// Replaces a large page by a table of 512 smaller ones with the same attributes. The table is whole before the CPU
    /// can see it, so every address translates as before at all times; old translations are no less right.
    fn split(&mut self, leaf: Leaf) -> Result<(), MapError> {
        let (parent, level) = self.table_of(leaf.virtual_address);
        let whole = self.memory.table(parent).get(index(leaf.virtual_address, level));
        let new = self.memory.allocate().ok_or(MapError::OutOfMemory)?;
        let table = self.memory.table(new);
        for number in 0..ENTRIES {
            table.set(number, whole.part(level, number as u64));
        }
        self.memory.table(parent).set(index(leaf.virtual_address, level), Entry::table(new));
        Ok(())
    }

    /// Replaces the entry of the leaf that maps `at`; the addresses that the leaf maps.
    fn change_leaf(&mut self, at: VirtAddr, change: impl FnOnce(Entry) -> Entry) -> Range<VirtAddr> {
        let (table, level) = self.table_of(at);
        let table = self.memory.table(table);
        table.set(index(at, level), change(table.get(index(at, level))));
        Range::of(at.align_down(coverage(level)), coverage(level))
    }

    /// The table that has the leaf for this address, which is mapped, and the table's level.
    fn table_of(&self, at: VirtAddr) -> (PhysAddr, u32) {
        let (mut table, mut level) = (self.root, self.mode.levels.root());
        loop {
            let entry = self.memory.table(table).get(index(at, level));
            if entry.is_leaf(level) {
                return (table, level);
            }
            table = entry.physical(level, self.mode);
            level -= 1;
        }
    }
}
