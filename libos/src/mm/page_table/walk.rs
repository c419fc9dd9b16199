//! Finding leaves.

use super::{AddressSpace, Leaf, TableMemory};
use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::paging::{ENTRIES, Mode, coverage, index};

/// The leaf that maps this address in the tables below `root`. Needs no lock: every entry is read once, and is whole.
/// Whoever changes the tables meanwhile must not release a table that this may have reached.
pub fn translate(memory: &impl TableMemory, mode: Mode, root: PhysAddr, address: VirtAddr) -> Option<Leaf> {
    if !mode.levels.is_canonical(address) {
        return None;
    }
    let mut table = root;
    for level in (1..=mode.levels.root()).rev() {
        let entry = memory.table(table).get(index(address, level));
        if !entry.is_present() {
            return None;
        }
        if entry.is_leaf(level) {
            return Some(entry.describe(level, mode, address.align_down(coverage(level))));
        }
        table = entry.physical(level, mode);
    }
    None
}

impl<M: TableMemory> AddressSpace<M> {
    /// The leaf that maps this address.
    pub fn translate(&self, address: VirtAddr) -> Option<Leaf> {
        translate(&self.memory, self.mode, self.root, address)
    }

    /// Calls `visit` for every present leaf, the lower half of the address space first, in the order of addresses.
    pub fn for_each_leaf(&self, mut visit: impl FnMut(Leaf)) {
        self.visit_table(self.root, self.mode.levels.root(), VirtAddr::ZERO, &mut visit);
    }

    fn visit_table(&self, table: PhysAddr, level: u32, base: VirtAddr, visit: &mut impl FnMut(Leaf)) {
        let table = self.memory.table(table);
        for number in 0..ENTRIES {
            let entry = table.get(number);
            let at = base + number as u64 * coverage(level);
            if !entry.is_present() {
                continue;
            }
            if entry.is_leaf(level) {
                visit(entry.describe(level, self.mode, self.mode.levels.sign_extend(at)));
            } else {
                self.visit_table(entry.physical(level, self.mode), level - 1, at, visit);
            }
        }
    }
}
