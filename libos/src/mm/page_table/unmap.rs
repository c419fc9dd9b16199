//! Removing leaves, and the tables that they leave empty.
//!
//! A table that was taken out of the tree may still be in some CPU's caches, so it is kept until these are flushed. The
//! tables that wait form a list through their first entries, which are not present: nothing has to be allocated.

use core::ops::Range;

use super::{AddressSpace, FlushRange, Leaf, MapError, TableMemory};
use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::page_table::Entry;
use crate::arch::paging::{coverage, index};

/// Tables that were taken out of the tree, to be given to [`AddressSpace::release`] once no CPU remembers them.
#[derive(Debug)]
#[must_use = "the tables are lost"]
pub struct RetiredTables {
    first: Option<PhysAddr>,
}

impl<M: TableMemory> AddressSpace<M> {
    /// Unmaps whatever is mapped in `range` and shows it to `removed`. Pages that reach over its ends are split. On an
    /// error nothing was unmapped.
    pub fn unmap(&mut self, range: Range<VirtAddr>, removed: &mut dyn FnMut(Leaf)) -> Result<FlushRange, MapError> {
        self.check_range(&range)?;
        let mut to_flush = FlushRange::NOTHING;
        for end in [range.start, range.end] {
            if let Some(leaf) = self.translate(end).filter(|leaf| leaf.virtual_address != end) {
                to_flush.add(&leaf.addresses());
            }
            self.split_at(end)?;
        }
        self.unmap_leaves(&range, &mut |leaf| {
            to_flush.add(&leaf.addresses());
            removed(leaf);
        });
        Ok(to_flush)
    }

    /// Unmaps the leaves in `range`, none of which reaches over its ends.
    pub(super) fn unmap_leaves(&mut self, range: &Range<VirtAddr>, removed: &mut dyn FnMut(Leaf)) {
        if range.start < range.end {
            self.unmap_table(self.root, self.mode.levels.root(), range.start, range.end - 1, removed);
        }
    }

    /// Unmaps from `first` to `last`, both of which the table covers.
    fn unmap_table(
        &mut self,
        table: PhysAddr,
        level: u32,
        first: VirtAddr,
        last: VirtAddr,
        removed: &mut dyn FnMut(Leaf),
    ) {
        let size = coverage(level);
        let mut at = first;
        loop {
            let end = (at.align_down(size) + (size - 1)).min(last);
            let number = index(at, level);
            let entry = self.memory.table(table).get(number);
            if entry.is_present() && entry.is_leaf(level) {
                self.memory.table(table).set(number, Entry::UNUSED);
                removed(entry.describe(level, self.mode, at));
            } else if entry.is_present() {
                let below = entry.physical(level, self.mode);
                self.unmap_table(below, level - 1, at, end, removed);
                if self.memory.table(below).is_empty() {
                    self.memory.table(table).set(number, Entry::UNUSED);
                    self.memory.table(below).set(0, Entry::parked(self.retired));
                    self.retired = Some(below);
                }
            }
            if end == last {
                return;
            }
            at = end + 1;
        }
    }

    /// The tables that were taken out of the tree since the last call. What the changes since then said
    /// is to be flushed everywhere, at least one page, between this and [`Self::release`].
    pub fn take_retired(&mut self) -> RetiredTables {
        RetiredTables { first: self.retired.take() }
    }

    /// Gives tables back to where they came from.
    pub fn release(&mut self, retired: RetiredTables) {
        let mut next = retired.first;
        while let Some(table) = next {
            next = self.memory.table(table).get(0).parked_table();
            self.memory.release(table);
        }
    }
}
