//! Walks over a fake configuration space.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::config::{Address, Bar, Capability};
use super::fake::{Fake, at};
use super::msix::MsixCapability;
use super::place::place;
use super::scan;
use crate::addr::PhysAddr;

#[test]
fn functions_behind_bridges_are_found_once() {
    let mut fake = Fake::default();
    let bridge = |to: u32| [(0x08, 0x0604_0000), (0x0c, 1 << 16), (0x18, to << 8)];
    fake.add(at(0, 0, 0), 0x29c0_8086, &[]);
    fake.add(at(0, 3, 0), 0x1041_1af4, &[(0x0c, 1 << 23)]);
    fake.add(at(0, 3, 5), 0x1042_1af4, &[]);
    fake.add(at(0, 4, 0), 0x000c_1b36, &bridge(2));
    fake.add(at(2, 0, 0), 0x000c_1b36, &bridge(0));
    fake.add(at(2, 1, 0), 0x1041_1af4, &[]);
    fake.add(at(2, 2, 1), 0x1041_1af4, &[]);
    assert_eq!(fake.found(), [at(0, 0, 0), at(0, 3, 0), at(0, 3, 5), at(0, 4, 0), at(2, 0, 0), at(2, 1, 0)]);
    assert_eq!(fake.function(at(2, 1, 0)).vendor_device(), (0x1af4, 0x1041));
}

#[test]
fn regions_have_an_address_and_a_length() {
    let mut fake = Fake::default();
    let function = at(0, 1, 0);
    let regions = [(0x10, 0xfebf_1000), (0x14, 0xc001), (0x18, 0xc), (0x1c, 0x80), (0x20, 0), (0x24, 4)];
    fake.add(function, 0x1041_1af4, &regions);
    for (offset, mask) in [(0x10, !0xfff), (0x18, !0x3fff), (0x1c, !0), (0x20, 0), (0x24, !0xfff)] {
        fake.writable.insert((function, offset), mask);
    }
    let function = fake.function(function);
    assert_eq!(function.bar(0), Some(Bar { address: PhysAddr::new(0xfebf_1000), len: 0x1000 }));
    assert_eq!(function.bar(1), None, "I/O ports");
    assert_eq!(function.bar(2), Some(Bar { address: PhysAddr::new(0x80_0000_0000), len: 0x4000 }));
    assert_eq!(function.bar(3), None, "an address half is not a region of its own: {:?}", function.bar(3));
    assert_eq!(function.bar(4), None, "absent");
    assert_eq!(function.bar(5), None, "half of a 64-bit region");
    assert_eq!(function.bar(6), None);
    assert_eq!(function.read(0x10), 0xfebf_1000, "measuring changes nothing");
    function.enable();
    assert_eq!(function.read(4), 0x406);
}

/// A function with a region of 4 KiB, I/O ports, one of 16 KiB with a 64-bit address, and one of 512 MiB.
fn with_regions(fake: &mut Fake, function: Address, places: [u32; 3]) {
    fake.add(function, 0x1041_1af4, &[(0x10, places[0]), (0x14, 0xc001), (0x18, places[1] | 0xc), (0x20, places[2])]);
    for (offset, mask) in [(0x10, !0xfff), (0x18, !0x3fff), (0x1c, !0), (0x20, !0x1fff_ffff)] {
        fake.writable.insert((function, offset), mask);
    }
}

fn places(fake: &Fake, function: Address) -> [u64; 3] {
    [0, 2, 4].map(|index| fake.function(function).bar(index).unwrap().address.as_u64())
}

const FREE: Range<PhysAddr> = PhysAddr::new(0xc000_0000)..PhysAddr::new(0xfec0_0000);

#[test]
fn regions_without_a_place_are_given_one_where_nothing_is() {
    let mut fake = Fake::default();
    let [first, second, behind] = [at(0, 1, 0), at(0, 2, 0), at(1, 0, 0)];
    [first, second, behind].iter().for_each(|&function| with_regions(&mut fake, function, [0; 3]));
    fake.add(at(0, 3, 0), 0x000c_1b36, &[(0x08, 0x0604_0000), (0x0c, 1 << 16), (0x18, 1 << 8)]);
    place(&fake, &FREE);
    assert_eq!(places(&fake, first), [0xfebf_f000, 0xfebf_8000, 0xc000_0000]);
    // After 512 MiB, which are aligned, there is no room for as much again.
    assert_eq!(places(&fake, second), [0; 3]);
    assert_eq!(places(&fake, behind), [0; 3], "the bridge has no window");
    assert_eq!(fake.function(first).read(0x14), 0xc001, "I/O ports are left alone");
}

#[test]
fn places_of_the_firmware_stay_and_no_other_is_given() {
    let mut fake = Fake::default();
    let [first, second] = [at(0, 1, 0), at(0, 2, 0)];
    with_regions(&mut fake, first, [0; 3]);
    with_regions(&mut fake, second, [0, 0xfe00_0000, 0]);
    place(&fake, &FREE);
    assert_eq!([places(&fake, first), places(&fake, second)], [[0; 3], [0, 0xfe00_0000, 0]]);
}

#[test]
fn a_region_with_a_32_bit_address_gets_no_place_above() {
    let mut fake = Fake::default();
    with_regions(&mut fake, at(0, 1, 0), [0; 3]);
    place(&fake, &(PhysAddr::new(1 << 32)..PhysAddr::new((1 << 32) + 0x8000)));
    assert_eq!(places(&fake, at(0, 1, 0)), [0, (1 << 32) + 0x4000, 0]);
}

#[test]
fn capabilities_are_walked_and_msi_x_is_read() {
    let mut fake = Fake::default();
    let function = at(0, 1, 0);
    let list = [(4, 1 << 20), (0x34, 0x98), (0x98, 0x8003_8411), (0x9c, 0x803), (0x84, 0x0014_7009), (0x70, 0x0009)];
    fake.add(function, 0x1041_1af4, &list);
    let function = fake.function(function);
    let ids: Vec<_> = function.capabilities().collect();
    let wanted = [(0x11, 0x98), (0x09, 0x84), (0x09, 0x70)].map(|(id, offset)| Capability { id, offset });
    assert_eq!(ids, wanted);
    let msix = MsixCapability::find(&function).unwrap();
    assert_eq!((msix.entries, msix.table_bar, msix.table_offset), (4, 3, 0x800));
    msix.enable(&function);
    assert_eq!(function.read(0x98) >> 30, 2);
}

#[test]
fn a_list_that_bites_its_tail_ends() {
    let mut fake = Fake::default();
    fake.add(at(0, 1, 0), 1, &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x4009)]);
    assert_eq!(fake.function(at(0, 1, 0)).capabilities().count(), 48);
}

proptest! {
    #[test]
    fn any_configuration_space_is_read_to_the_end(registers in proptest::collection::vec(any::<u32>(), 64)) {
        let mut fake = Fake::default();
        let mut all = vec![0; 64];
        all.copy_from_slice(&registers);
        fake.add(at(0, 0, 0), registers[0], &(0..64).map(|i| (i as u8 * 4, registers[i])).collect::<Vec<_>>());
        scan(&fake, |function| {
            for index in 0..6 {
                function.bar(index);
            }
            MsixCapability::find(function);
        });
        place(&fake, &FREE);
    }
}
