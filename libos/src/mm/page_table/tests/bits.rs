//! Entries bit by bit.

use super::*;
use crate::arch::page_table::Entry;
use crate::keys::{KeyAllocator, Protection};
use crate::mm::attributes::{Cacheability, Permissions};

/// Attributes with every bit that an entry can have, and those that the CPU and nobody else understands.
fn all_set() -> Attributes {
    let mut keys = KeyAllocator::new();
    let key = std::iter::from_fn(|| keys.allocate().ok()).last();
    Attributes::pmem(Protection::Pku, key, false).with_cacheability(Cacheability::entry(7).unwrap()).encrypted()
}

const UNKNOWN: u64 = 0x07f0_0000_0000_0f60;

#[test]
fn each_attribute_has_its_bit_in_the_entries_of_small_and_large_pages() {
    let encryption = 1 << C_BIT;
    let small = Entry::leaf(1, phys(0x1234_5000), all_set().flags(), encryption);
    assert_eq!(small.bits(), 0xf800_8000_1234_509f);
    for level in [2, 3] {
        let large = Entry::leaf(level, phys(0x4000_0000), all_set().flags(), encryption);
        assert_eq!(large.bits(), 0xf800_8000_4000_109f);
    }
    assert_eq!(Entry::leaf(1, PhysAddr::ZERO, Attributes::CODE.flags(), 0).bits(), 0x1);
    assert_eq!(Entry::leaf(2, PhysAddr::ZERO, Attributes::CODE.flags(), 0).bits(), 0x81);
}

#[test]
fn parts_of_a_page_have_every_bit_of_it_and_its_addresses_in_turn() {
    let encryption = 1 << C_BIT;
    for attributes in [all_set(), all_set().with_cacheability(Cacheability::entry(3).unwrap()), Attributes::CODE] {
        for (level, physical, step) in [(3, phys(3 * GIB), MIB2), (2, phys(5 * MIB2), PAGE)] {
            // Marks and bits that this code gives no meaning to are copied like any other.
            let whole = Entry::from_bits(Entry::leaf(level, physical, attributes.flags(), encryption).bits() | UNKNOWN);
            for number in [0, 1, 511] {
                let expected = Entry::leaf(level - 1, physical + number * step, attributes.flags(), encryption);
                assert_eq!(whole.part(level, number).bits(), expected.bits() | UNKNOWN);
            }
        }
    }
}

#[test]
fn a_change_of_permissions_changes_two_bits() {
    let entry = Entry::leaf(1, phys(0x1234_5000), all_set().flags(), 1 << C_BIT).bits() | UNKNOWN;
    for (permissions, bits) in
        [(Permissions::Read, 1 << 63), (Permissions::ReadWrite, 1 << 63 | 2), (Permissions::ReadExecute, 0)]
    {
        let changed = Entry::from_bits(entry).with_permissions(permissions);
        assert_eq!(changed.bits(), entry & !(1 << 63 | 2) | bits);
    }
}

#[test]
fn a_description_tells_addresses_from_attributes_at_every_level() {
    for (level, size) in [(1, PAGE), (2, MIB2), (3, GIB)] {
        let entry = Entry::leaf(level, phys(3 * GIB), all_set().flags(), 1 << C_BIT).bits() | 0b11 << 5;
        let leaf = Entry::from_bits(entry).describe(level, mode(Levels::Four, true), virt(7 * GIB));
        assert_eq!((leaf.virtual_address, leaf.physical_address, leaf.size), (virt(7 * GIB), phys(3 * GIB), size));
        assert_eq!((leaf.flags, leaf.encryption), (all_set().flags(), 1 << C_BIT));
    }
}

#[test]
fn addresses_are_canonical_if_their_upper_bits_are_alike() {
    for (levels, last_low, first_high) in [
        (Levels::Four, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000),
        (Levels::Five, 0xff_ffff_ffff_ffff, 0xff00_0000_0000_0000),
    ] {
        for good in [0, last_low, first_high, u64::MAX] {
            assert!(levels.is_canonical(virt(good)), "{good:#x}");
        }
        for bad in [last_low + 1, first_high - 1, 1 << 63] {
            assert!(!levels.is_canonical(virt(bad)), "{bad:#x}");
        }
    }
}

#[test]
fn the_bits_of_encryption_are_those_that_the_cpu_names() {
    assert_eq!(Encryption::amd(51), Encryption { mask: 1 << 51, set: 1 << 51 });
    // 6 of 52 bits: 46 are left for addresses, and no identifier is the platform's own key.
    let intel = Encryption::intel(6, 52);
    assert_eq!(intel, Encryption { mask: 0x000f_c000_0000_0000, set: 0 });
    assert_eq!(Encryption::intel(0, 46), Encryption::default());
    let ends = [Encryption::amd(47), intel, Encryption::default()]
        .map(|encryption| Mode { encryption, ..mode(Levels::Four, true) }.physical_end());
    assert_eq!(ends, [1 << 47, 1 << 46, 1 << 52].map(phys));
}
