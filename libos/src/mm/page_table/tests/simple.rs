//! One case at a time.

use super::*;
use crate::keys::{KeyAllocator, Protection};
use crate::mm::attributes::{Cacheability, Permissions};

fn keyed() -> Attributes {
    Attributes::pmem(Protection::Pks, KeyAllocator::new().allocate().ok(), false)
}

#[test]
fn the_largest_pages_that_fit_are_used_and_each_carries_the_key() {
    let (start, physical) = (virt(0x1000_0000_0000 + GIB - MIB2 - PAGE), phys(5 * GIB - MIB2 - PAGE));
    let length = PAGE + MIB2 + GIB + MIB2 + PAGE;
    for (gibibyte_pages, expected) in
        [(true, vec![PAGE, MIB2, GIB, MIB2, PAGE]), (false, [vec![PAGE], vec![MIB2; 514], vec![PAGE]].concat())]
    {
        let mut space = space(gibibyte_pages);
        space.map(Range::of(start, length), physical, keyed()).unwrap();
        assert_eq!(sizes(&space), expected);
        assert!(leaves(&space).iter().all(|leaf| leaf.flags.key() == 1));
    }
}

#[test]
fn mapping_twice_is_refused_whatever_the_page_size_and_leaves_what_was_there() {
    let mut space = space(true);
    space.map(pages(0..GIB), PhysAddr::ZERO, Attributes::DATA).unwrap();
    assert_eq!(
        space.map(pages(PAGE..2 * PAGE), PhysAddr::ZERO, Attributes::DATA),
        Err(MapError::AlreadyMapped(virt(PAGE)))
    );
    space.map(pages(GIB + PAGE..GIB + 2 * PAGE), PhysAddr::ZERO, Attributes::DATA).unwrap();
    assert_eq!(
        space.map(pages(GIB..2 * GIB), PhysAddr::ZERO, Attributes::DATA),
        Err(MapError::AlreadyMapped(virt(GIB)))
    );
    assert_eq!(
        space.map(pages(GIB..GIB + 4 * PAGE), phys(0x5000), Attributes::DATA),
        Err(MapError::AlreadyMapped(virt(GIB + PAGE)))
    );
    assert_eq!(sizes(&space), [GIB, PAGE]);
}

#[test]
fn write_protecting_one_page_of_a_gibibyte_splits_twice_and_keeps_everything_else() {
    let mut space = space(true);
    let attributes = keyed().with_cacheability(Cacheability::entry(5).unwrap()).encrypted();
    let start = virt(0x1000_0000_0000);
    space.map(Range::of(start, GIB), phys(7 * GIB), attributes).unwrap();
    let page = start + 5 * MIB2 + 9 * PAGE;
    let to_flush = space.protect(Range::of(page, PAGE), Permissions::Read).unwrap();
    assert_eq!(to_flush.range(), Range::of(start, GIB), "the CPU may remember the large page");
    let leaves = leaves(&space);
    assert_eq!(leaves.len(), 511 + 512);
    for leaf in leaves {
        let expected = if leaf.virtual_address == page { Permissions::Read } else { Permissions::ReadWrite };
        assert_eq!(leaf.flags, attributes.flags().with_permissions(expected));
        assert_eq!(leaf.physical_address - phys(7 * GIB), leaf.virtual_address - start);
        assert_eq!(leaf.encryption, 1 << C_BIT);
    }
}

#[test]
fn what_has_the_permissions_already_is_not_split() {
    let mut space = space(true);
    space.map(pages(GIB..2 * GIB), phys(GIB), Attributes::DATA).unwrap();
    assert_eq!(space.protect(pages(GIB + PAGE..GIB + MIB2), Permissions::ReadWrite), Ok(FlushRange::NOTHING));
    assert_eq!(sizes(&space), [GIB]);
    let to_flush = space.protect(pages(GIB..2 * GIB), Permissions::Read).unwrap();
    assert_eq!((sizes(&space), to_flush.range()), (vec![GIB], pages(GIB..2 * GIB)));
}

#[test]
fn a_hole_in_the_range_is_an_error_and_nothing_changes() {
    let mut space = space(true);
    space.map(pages(0x5000..0x7000), phys(0x5000), Attributes::DATA).unwrap();
    space.map(pages(0x8000..0x9000), phys(0x8000), Attributes::DATA).unwrap();
    let before = leaves(&space);
    assert_eq!(space.protect(pages(0x5000..0x9000), Permissions::Read), Err(MapError::NotMapped(virt(0x7000))));
    assert_eq!(leaves(&space), before);
}

#[test]
fn an_unmapped_page_is_gone_and_its_neighbours_stay() {
    let mut space = space(true);
    space.map(pages(0..GIB), PhysAddr::ZERO, keyed()).unwrap();
    let mut removed = Vec::new();
    let to_flush = space.unmap(pages(0x6000..0x8000), &mut |leaf| removed.push(leaf.physical_address)).unwrap();
    assert_eq!((removed, to_flush.range()), (vec![phys(0x6000), phys(0x7000)], pages(0..GIB)));
    assert_eq!((space.translate(virt(0x6000)), space.translate(virt(0x7fff))), (None, None));
    assert!(
        [0x5fff, 0x8000, GIB - 1].iter().all(|&at| space.translate(virt(at)).is_some_and(|leaf| leaf.flags.key() == 1))
    );
}

#[test]
fn a_whole_device_is_unmapped_and_mapped_again_with_the_largest_pages() {
    let mut space = space(true);
    let range = Range::of(virt(0x1000_0000_0000), 2 * GIB);
    space.map(range.clone(), phys(4 * GIB), keyed()).unwrap();
    let _ = space.protect(range.start + PAGE..range.start + 2 * PAGE, Permissions::Read).unwrap();
    let tables = space.memory.tables.len();
    let mut bytes = 0;
    let _ = space.unmap(range.clone(), &mut |leaf| bytes += leaf.size).unwrap();
    assert_eq!(bytes, 2 * GIB);
    assert_eq!(space.memory.tables.len(), tables, "CPUs may still remember the tables");
    let retired = space.take_retired();
    space.release(retired);
    assert_eq!(space.memory.tables.len(), 1, "all but the root are given back");
    space.map(range, phys(4 * GIB), keyed()).unwrap();
    assert_eq!(sizes(&space), [GIB, GIB]);
}

#[test]
fn one_mapping_over_memory_of_several_kinds() {
    let mut space = space(true);
    let start = virt(3 * GIB - 2 * PAGE);
    let pieces = [
        memory(0x5000..0x6000, Attributes::DATA.encrypted()),
        memory(0xfee0_0000..0xfee0_1000, Attributes::DEVICE),
        memory(5 * GIB..6 * GIB, keyed()),
        Piece::Hole { length: PAGE },
        memory(0x9000..0xa000, Attributes::CONSTANT),
    ];
    assert_eq!(space.map_pieces(start, &pieces), Ok(Range::of(start, GIB + 4 * PAGE)));
    let mapped: Vec<_> = leaves(&space)
        .iter()
        .map(|leaf| (leaf.virtual_address, leaf.physical_address, leaf.flags, leaf.encryption))
        .collect();
    let expected = [
        (start, phys(0x5000), Attributes::DATA.flags(), 1 << C_BIT),
        (start + PAGE, phys(0xfee0_0000), Attributes::DEVICE.flags(), 0),
        (virt(3 * GIB), phys(5 * GIB), keyed().flags(), 0),
        (virt(4 * GIB + PAGE), phys(0x9000), Attributes::CONSTANT.flags(), 0),
    ];
    assert_eq!(mapped, expected);
}

#[test]
fn a_mapping_that_fails_in_its_last_piece_leaves_nothing() {
    let mut space = space(true);
    space.map(pages(9 * PAGE..10 * PAGE), PhysAddr::ZERO, Attributes::DATA).unwrap();
    let pieces = [memory(0x5000..0x6000, Attributes::DATA), memory(0x20_0000..0x20_8000, Attributes::DEVICE)];
    assert_eq!(space.map_pieces(virt(2 * PAGE), &pieces), Err(MapError::AlreadyMapped(virt(9 * PAGE))));
    assert_eq!(sizes(&space), [PAGE]);
}

#[test]
fn running_out_of_tables_changes_nothing() {
    let memory = Tables { limit: Some(2), ..Tables::default() };
    let mut space = AddressSpace::new(memory, mode(Levels::Four, true)).unwrap();
    assert_eq!(space.map(pages(0..PAGE), PhysAddr::ZERO, Attributes::DATA), Err(MapError::OutOfMemory));
    let retired = space.take_retired();
    space.release(retired);
    assert_eq!(space.memory.tables.len(), 1, "no table is left on the way to nothing");
    space.map(pages(0..GIB), PhysAddr::ZERO, Attributes::DATA).unwrap();
    assert_eq!(space.protect(pages(0..PAGE), Permissions::Read), Err(MapError::OutOfMemory));
    assert_eq!(space.unmap(pages(PAGE..GIB), &mut |_| panic!("unmapped")), Err(MapError::OutOfMemory));
    assert_eq!(sizes(&space), [GIB]);
    let _ = space.unmap(pages(0..GIB), &mut |_| {}).unwrap();
    assert_eq!(sizes(&space), []);
}

#[test]
fn ranges_that_are_none_are_refused() {
    let mut space = space(true);
    for (range, physical) in [(1..PAGE, 0), (0..PAGE + 1, 0), (0..PAGE, 8)] {
        assert_eq!(space.map(pages(range), phys(physical), Attributes::DATA), Err(MapError::Misaligned));
    }
    let top = 1 << 47;
    for start in [top - PAGE, top, u64::MAX - 2 * PAGE + 1] {
        assert!(
            space.map(pages(start..start.wrapping_add(2 * PAGE)), PhysAddr::ZERO, Attributes::DATA).is_err(),
            "{start:#x}"
        );
        assert_eq!(space.translate(virt(start)), None);
    }
    for physical in [1 << C_BIT, (1 << C_BIT) - PAGE, u64::MAX - 2 * PAGE + 1] {
        let physical = phys(physical);
        assert_eq!(space.map(pages(0..2 * PAGE), physical, Attributes::DATA), Err(MapError::BadPhysical(physical)));
    }
    assert!(leaves(&space).is_empty());
}
