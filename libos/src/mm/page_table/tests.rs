//! Page tables on the host: the tables lie in a map, keyed by made-up physical addresses.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::dax::{KeyAllocator, Protection};
use crate::mm::attributes::key_number;
use crate::mm::layout::GIB;

const MIB2: u64 = 2 << 20;

#[derive(Default)]
struct Tables {
    tables: BTreeMap<u64, Box<PageTable>>,
    limit: Option<usize>,
}

impl TableMemory for Tables {
    fn allocate(&mut self) -> Option<u64> {
        if self.limit.is_some_and(|limit| self.tables.len() >= limit) {
            return None;
        }
        let physical = 0x7000_0000 + self.tables.len() as u64 * PAGE;
        self.tables.insert(physical, Box::new(PageTable::new()));
        Some(physical)
    }

    fn table(&mut self, physical: u64) -> &mut PageTable {
        self.tables.get_mut(&physical).expect("a table that was allocated")
    }
}

fn space(gibibyte_pages: bool) -> AddressSpace<Tables> {
    AddressSpace::new(Tables::default(), gibibyte_pages).unwrap()
}

fn leaves(space: &mut AddressSpace<Tables>) -> Vec<Leaf> {
    let mut all = Vec::new();
    space.for_each_leaf(|leaf| all.push(leaf));
    all
}

#[test]
fn the_largest_pages_that_fit_are_used_and_each_carries_the_key() {
    let key = KeyAllocator::new().allocate().unwrap();
    let (start, physical) = (0x1000_0000_0000 + GIB - MIB2 - PAGE, 5 * GIB - MIB2 - PAGE);
    let length = PAGE + MIB2 + GIB + MIB2 + PAGE;
    for (gibibyte_pages, expected) in
        [(true, vec![PAGE, MIB2, GIB, MIB2, PAGE]), (false, [vec![PAGE], vec![MIB2; 514], vec![PAGE]].concat())]
    {
        let mut space = space(gibibyte_pages);
        space.map(start..start + length, physical, Attributes::pmem(Protection::Pks, Some(key), false)).unwrap();
        let leaves = leaves(&mut space);
        assert_eq!(leaves.iter().map(|leaf| leaf.size).collect::<Vec<_>>(), expected);
        assert!(leaves.iter().all(|leaf| key_number(leaf.flags) == key.number()));
    }
}

#[test]
fn mapping_twice_is_refused_whatever_the_page_size() {
    let mut space = space(true);
    space.map(0..GIB, 0, Attributes::DATA).unwrap();
    assert_eq!(space.map(PAGE..2 * PAGE, 0, Attributes::DATA), Err(MapError::AlreadyMapped(PAGE)));
    space.map(GIB..GIB + PAGE, 0, Attributes::DATA).unwrap();
    assert_eq!(space.map(GIB..2 * GIB, 0, Attributes::DATA), Err(MapError::AlreadyMapped(GIB)));
}

#[test]
fn an_unmapped_page_is_gone_and_its_neighbours_stay() {
    let mut space = space(true);
    space.map(0x5000..0x8000, 0x10_5000, Attributes::DATA).unwrap();
    assert_eq!(space.unmap_page(0x6000), Ok(0x10_6000));
    assert_eq!(space.translate(0x6000), None);
    assert_eq!(space.unmap_page(0x6000), Err(MapError::NotMapped(0x6000)));
    assert!(space.translate(0x5000).is_some() && space.translate(0x7fff).is_some());
}

#[test]
fn running_out_of_tables_is_an_error() {
    let mut space = AddressSpace::new(Tables { limit: Some(2), ..Tables::default() }, true).unwrap();
    assert_eq!(space.map(0..PAGE, 0, Attributes::DATA), Err(MapError::OutOfMemory));
}

#[test]
fn misaligned_ranges_are_refused() {
    let mut space = space(true);
    for (range, physical) in [(1..PAGE, 0), (0..PAGE + 1, 0), (0..PAGE, 8)] {
        assert_eq!(space.map(range, physical, Attributes::DATA), Err(MapError::Misaligned));
    }
}

proptest! {
    #[test]
    fn what_is_mapped_translates_and_nothing_else(
        start in 0u64..4096, pages in 1u64..2048, offset in 0u64..4096, gibibyte_pages: bool
    ) {
        let (start, length) = (GIB - 2048 * PAGE + start * PAGE, pages * PAGE);
        let physical = 7 * GIB + offset * PAGE;
        let mut space = space(gibibyte_pages);
        space.map(start..start + length, physical, Attributes::DATA).unwrap();
        for at in (start..start + length).step_by(PAGE as usize) {
            let leaf = space.translate(at + 17).unwrap();
            prop_assert_eq!(leaf.physical_address + (at - leaf.virtual_address), physical + (at - start));
        }
        prop_assert_eq!(space.translate(start - 1), None);
        prop_assert_eq!(space.translate(start + length), None);
        prop_assert_eq!(leaves(&mut space).iter().map(|leaf| leaf.size).sum::<u64>(), length);
    }
}
