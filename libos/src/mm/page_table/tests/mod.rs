//! Page tables on the host: the tables lie in a map, keyed by made-up physical addresses.

mod bits;
mod cpu;
mod model;
mod racing;
mod simple;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;
use crate::arch::paging::{Encryption, Levels};
use crate::mm::layout::GIB;

const MIB2: u64 = 2 << 20;

/// The bit that encrypts in these tests, as AMD's CPUs have it.
const C_BIT: u32 = 47;

#[derive(Debug, Default)]
struct Tables {
    tables: BTreeMap<PhysAddr, Box<PageTable>>,
    /// How many there were ever: no address is given twice, so a use after release is found.
    given: u64,
    limit: Option<usize>,
}

impl TableMemory for Tables {
    fn allocate(&mut self) -> Option<PhysAddr> {
        if self.limit.is_some_and(|limit| self.tables.len() >= limit) {
            return None;
        }
        let physical = PhysAddr::new(0x7000_0000 + self.given * PAGE);
        self.given += 1;
        self.tables.insert(physical, Box::default());
        Some(physical)
    }

    fn release(&mut self, physical: PhysAddr) {
        assert!(self.tables.remove(&physical).is_some(), "released twice");
    }

    fn table(&self, physical: PhysAddr) -> &PageTable {
        self.tables.get(&physical).expect("a table that was allocated")
    }
}

fn mode(levels: Levels, gibibyte_pages: bool) -> Mode {
    Mode { levels, gibibyte_pages, encryption: Encryption::amd(C_BIT) }
}

fn space(gibibyte_pages: bool) -> AddressSpace<Tables> {
    AddressSpace::new(Tables::default(), mode(Levels::Four, gibibyte_pages)).unwrap()
}

fn leaves(space: &AddressSpace<Tables>) -> Vec<Leaf> {
    let mut all = Vec::new();
    space.for_each_leaf(|leaf| all.push(leaf));
    all
}

fn sizes(space: &AddressSpace<Tables>) -> Vec<u64> {
    leaves(space).iter().map(|leaf| leaf.size).collect()
}

fn virt(bits: u64) -> VirtAddr {
    VirtAddr::new(bits)
}

fn phys(bits: u64) -> PhysAddr {
    PhysAddr::new(bits)
}

fn pages(range: Range<u64>) -> Range<VirtAddr> {
    virt(range.start)..virt(range.end)
}

fn memory(physical: Range<u64>, attributes: Attributes) -> Piece {
    Piece::Memory { physical: phys(physical.start)..phys(physical.end), attributes }
}
