//! One case at a time.

use super::*;
use crate::keys::{KeyAllocator, Protection};
use crate::mm::attributes::{Cacheability, Permissions};

fn keyed() -> Attributes {
    Attributes::pmem(Protection::Pks, KeyAllocator::new().allocate().ok(), false)
}

#[test]
fn the_largest_pages_that_fit_are_used_and_each_carries_the_key() {
    let (start, physical) = (0x1000_0000_0000 + GIB - MIB2 - PAGE, 5 * GIB - MIB2 - PAGE);
    let length = PAGE + MIB2 + GIB + MIB2 + PAGE;
    for (gibibyte_pages, expected) in
        [(true, vec![PAGE, MIB2, GIB, MIB2, PAGE]), (false, [vec![PAGE], vec![MIB2; 514], vec![PAGE]].concat())]
    {
        let mut space = space(gibibyte_pages);
        space.map(start..start + length, physical, keyed()).unwrap();
        assert_eq!(sizes(&space), expected);
        assert!(leaves(&space).iter().all(|leaf| leaf.flags.key() == 1));
    }
}

#[test]
fn mapping_twice_is_refused_whatever_the_page_size_and_leaves_what_was_there() {
    let mut space = space(true);
    space.map(0..GIB, 0, Attributes::DATA).unwrap();
    assert_eq!(space.map(PAGE..2 * PAGE, 0, Attributes::DATA), Err(MapError::AlreadyMapped(PAGE)));
    space.map(GIB + PAGE..GIB + 2 * PAGE, 0, Attributes::DATA).unwrap();
    assert_eq!(space.map(GIB..2 * GIB, 0, Attributes::DATA), Err(MapError::AlreadyMapped(GIB)));
    assert_eq!(space.map(GIB..GIB + 4 * PAGE, 0x5000, Attributes::DATA), Err(MapError::AlreadyMapped(GIB + PAGE)));
    assert_eq!(sizes(&space), [GIB, PAGE]);
}

#[test]
fn write_protecting_one_page_of_a_gibibyte_splits_twice_and_keeps_everything_else() {
    let mut space = space(true);
    let attributes = keyed().with_cacheability(Cacheability::entry(5).unwrap()).encrypted();
    let start = 0x1000_0000_0000;
    space.map(start..start + GIB, 7 * GIB, attributes).unwrap();
    let page = start + 5 * MIB2 + 9 * PAGE;
    let to_flush = space.protect(page..page + PAGE, Permissions::Read).unwrap();
    assert_eq!(to_flush.range(), start..start + GIB, "the CPU may remember the large page");
    let leaves = leaves(&space);
    assert_eq!(leaves.len(), 511 + 512);
    for leaf in leaves {
        let expected = if leaf.virtual_address == page { Permissions::Read } else { Permissions::ReadWrite };
        assert_eq!(leaf.flags, attributes.flags().with_permissions(expected));
        assert_eq!(leaf.physical_address - 7 * GIB, leaf.virtual_address - start);
        assert_eq!(leaf.encryption, 1 << C_BIT);
    }
}

#[test]
fn what_has_the_permissions_already_is_not_split() {
    let mut space = space(true);
    space.map(GIB..2 * GIB, GIB, Attributes::DATA).unwrap();
    assert_eq!(space.protect(GIB + PAGE..GIB + MIB2, Permissions::ReadWrite), Ok(FlushRange::NOTHING));
    assert_eq!(sizes(&space), [GIB]);
    let to_flush = space.protect(GIB..2 * GIB, Permissions::Read).unwrap();
    assert_eq!((sizes(&space), to_flush.range()), (vec![GIB], GIB..2 * GIB));
}

#[test]
fn a_hole_in_the_range_is_an_error_and_nothing_changes() {
    let mut space = space(true);
    space.map(0x5000..0x7000, 0x5000, Attributes::DATA).unwrap();
    space.map(0x8000..0x9000, 0x8000, Attributes::DATA).unwrap();
    let before = leaves(&space);
    assert_eq!(space.protect(0x5000..0x9000, Permissions::Read), Err(MapError::NotMapped(0x7000)));
    assert_eq!(leaves(&space), before);
}

#[test]
fn an_unmapped_page_is_gone_and_its_neighbours_stay() {
    let mut space = space(true);
    space.map(0..GIB, 0, keyed()).unwrap();
    let mut removed = Vec::new();
    let to_flush = space.unmap(0x6000..0x8000, &mut |leaf| removed.push(leaf.physical_address)).unwrap();
    assert_eq!((removed, to_flush.range()), (vec![0x6000, 0x7000], 0..GIB));
    assert_eq!((space.translate(0x6000), space.translate(0x7fff)), (None, None));
    assert!([0x5fff, 0x8000, GIB - 1].iter().all(|&at| space.translate(at).is_some_and(|leaf| leaf.flags.key() == 1)));
}

#[test]
fn a_whole_device_is_unmapped_and_mapped_again_with_the_largest_pages() {
    let mut space = space(true);
    let range = 0x1000_0000_0000..0x1000_0000_0000 + 2 * GIB;
    space.map(range.clone(), 4 * GIB, keyed()).unwrap();
    let _ = space.protect(range.start + PAGE..range.start + 2 * PAGE, Permissions::Read).unwrap();
    let tables = space.memory.tables.len();
    let mut bytes = 0;
    let _ = space.unmap(range.clone(), &mut |leaf| bytes += leaf.size).unwrap();
    assert_eq!(bytes, 2 * GIB);
    assert_eq!(space.memory.tables.len(), tables, "CPUs may still remember the tables");
    let retired = space.take_retired();
    space.release(retired);
    assert_eq!(space.memory.tables.len(), 1, "all but the root are given back");
    space.map(range, 4 * GIB, keyed()).unwrap();
    assert_eq!(sizes(&space), [GIB, GIB]);
}

#[test]
fn one_mapping_over_memory_of_several_kinds() {
    let mut space = space(true);
    let start = 3 * GIB - 2 * PAGE;
    let pieces = [
        memory(0x5000..0x6000, Attributes::DATA.encrypted()),
        memory(0xfee0_0000..0xfee0_1000, Attributes::DEVICE),
        memory(5 * GIB..6 * GIB, keyed()),
        Piece::Hole { length: PAGE },
        memory(0x9000..0xa000, Attributes::CONSTANT),
    ];
    assert_eq!(space.map_pieces(start, &pieces), Ok(start..start + GIB + 4 * PAGE));
    let mapped: Vec<_> = leaves(&space)
        .iter()
        .map(|leaf| (leaf.virtual_address, leaf.physical_address, leaf.flags, leaf.encryption))
        .collect();
    let expected = [
        (start, 0x5000, Attributes::DATA.flags(), 1 << C_BIT),
        (start + PAGE, 0xfee0_0000, Attributes::DEVICE.flags(), 0),
        (3 * GIB, 5 * GIB, keyed().flags(), 0),
        (4 * GIB + PAGE, 0x9000, Attributes::CONSTANT.flags(), 0),
    ];
    assert_eq!(mapped, expected);
}

#[test]
fn a_mapping_that_fails_in_its_last_piece_leaves_nothing() {
    let mut space = space(true);
    space.map(9 * PAGE..10 * PAGE, 0, Attributes::DATA).unwrap();
    let pieces = [memory(0x5000..0x6000, Attributes::DATA), memory(0x20_0000..0x20_8000, Attributes::DEVICE)];
    assert_eq!(space.map_pieces(2 * PAGE, &pieces), Err(MapError::AlreadyMapped(9 * PAGE)));
    assert_eq!(sizes(&space), [PAGE]);
}

#[test]
fn running_out_of_tables_changes_nothing() {
    let memory = Tables { limit: Some(2), ..Tables::default() };
    let mut space = AddressSpace::new(memory, mode(Levels::Four, true)).unwrap();
    assert_eq!(space.map(0..PAGE, 0, Attributes::DATA), Err(MapError::OutOfMemory));
    let retired = space.take_retired();
    space.release(retired);
    assert_eq!(space.memory.tables.len(), 1, "no table is left on the way to nothing");
    space.map(0..GIB, 0, Attributes::DATA).unwrap();
    assert_eq!(space.protect(0..PAGE, Permissions::Read), Err(MapError::OutOfMemory));
    assert_eq!(space.unmap(PAGE..GIB, &mut |_| panic!("unmapped")), Err(MapError::OutOfMemory));
    assert_eq!(sizes(&space), [GIB]);
    let _ = space.unmap(0..GIB, &mut |_| {}).unwrap();
    assert_eq!(sizes(&space), []);
}

#[test]
fn ranges_that_are_none_are_refused() {
    let mut space = space(true);
    for (range, physical) in [(1..PAGE, 0), (0..PAGE + 1, 0), (0..PAGE, 8)] {
        assert_eq!(space.map(range, physical, Attributes::DATA), Err(MapError::Misaligned));
    }
    let top = 1 << 47;
    for start in [top - PAGE, top, u64::MAX - 2 * PAGE + 1] {
        assert!(space.map(start..start.wrapping_add(2 * PAGE), 0, Attributes::DATA).is_err(), "{start:#x}");
        assert_eq!(space.translate(start), None);
    }
    for physical in [1 << C_BIT, (1 << C_BIT) - PAGE, u64::MAX - 2 * PAGE + 1] {
        assert_eq!(space.map(0..2 * PAGE, physical, Attributes::DATA), Err(MapError::BadPhysical(physical)));
    }
    assert!(leaves(&space).is_empty());
}
