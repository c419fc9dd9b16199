//! On one CPU: what is split, what keeps its attributes, what is refused.

use libos::addr::VirtAddr;
use libos::dax::{Device, Load, Medium, WriteProtectError, audit};
use libos::mm::page_table::Leaf;

use crate::guest::{GIB, MIB2, PAGE, check, peek, poke};

/// Where stores go that succeed; the test looks for them in the image.
const TARGET: u64 = 5 * MIB2 + 9 * PAGE;

pub(crate) fn run(device: &'static Device) {
    let largest = device.leaf(0).expect("the device is mapped").size;
    let levels = if device.address_range().start >= VirtAddr::new(1 << 52) { 5 } else { 4 };
    println!("pages: {levels} levels, the first leaf has {largest} bytes");
    let before = attributes(device);
    check("a-boot-maps-with-large-pages", || assert!(all(device, |leaf| leaf.size == largest)));
    check("a-protected-page-is-split-off-and-keeps-its-attributes", || split(device, largest));
    check("stores-around-a-protected-page-succeed", || around(device));
    check("what-is-writable-again-can-be-stored-to", || again(device));
    check("ranges-over-the-ends-of-large-pages", || over_ends(device));
    check("the-whole-device", || whole(device));
    check("what-is-no-range-of-pages-is-refused", || refused(device));
    check("nothing-but-permissions-has-changed", || assert_eq!(attributes(device), before));
}

/// Whether this holds for every leaf that maps the device.
fn all(device: &Device, holds: impl Fn(Leaf) -> bool) -> bool {
    let mut offset = 0;
    while offset < device.len() {
        let leaf = device.leaf(offset).expect("a device is mapped whole");
        if !holds(leaf) {
            println!("pages: at offset {offset:#x}: {leaf:x?}");
            return false;
        }
        offset += leaf.size;
    }
    true
}

/// What all leaves of a writable device have alike, permissions included.
fn attributes(device: &Device) -> libos::mm::attributes::Flags {
    let flags = device.leaf(0).expect("the device is mapped").flags;
    assert_eq!(Some(flags.key()).filter(|&key| key != 0), device.key());
    assert!(all(device, |leaf| leaf.flags == flags && leaf.encryption == 0));
    flags
}

fn split(device: &Device, largest: u64) {
    let before = device.leaf(TARGET).unwrap();
    device.set_writable(TARGET..TARGET + PAGE, false).unwrap();
    for (offset, size) in [(TARGET, PAGE), (TARGET - PAGE, PAGE), (5 * MIB2 + MIB2 - PAGE, PAGE), (4 * MIB2, MIB2)] {
        let leaf = device.leaf(offset).unwrap();
        let start = device.address_range().start;
        assert_eq!((leaf.size, leaf.virtual_address), (size, start + offset));
        assert_eq!(leaf.physical_address - before.physical_address, leaf.virtual_address - before.virtual_address);
        assert_eq!(leaf.flags.is_writable(), offset != TARGET);
        let rest = |leaf: Leaf| (leaf.flags.key(), leaf.flags.is_user(), leaf.flags.is_executable());
        assert_eq!(rest(leaf), rest(before));
        assert_eq!(leaf.flags.cacheability(), before.flags.cacheability());
    }
    if largest == GIB && device.len() > GIB {
        assert_eq!(device.leaf(GIB).unwrap().size, GIB, "only what was touched is split");
    }
    let seen = audit().unwrap();
    println!("pages: {} leaves of pmem after the split", seen.pmem_leaves);
}

fn around(device: &Device) {
    let before = device.read_lock().unwrap().read(|_| peek(device, TARGET));
    device
        .read_lock()
        .unwrap()
        .write(|grant| {
            poke(device, TARGET - 8, 0x11);
            poke(device, TARGET + PAGE, 0x22);
            let mut there = [0; 8];
            grant.load(TARGET, &mut there).unwrap();
            assert_eq!(u64::from_le_bytes(there), before, "it can be read as before");
        })
        .unwrap();
}

fn again(device: &Device) {
    device.set_writable(TARGET..TARGET + PAGE, true).unwrap();
    device
        .read_lock()
        .unwrap()
        .write(|_| {
            poke(device, TARGET, 0x33);
            assert_eq!(peek(device, TARGET), 0x33);
        })
        .unwrap();
}

fn over_ends(device: &Device) {
    let ranges = [MIB2 - PAGE..MIB2 + PAGE, 2 * MIB2..4 * MIB2, 0..PAGE, device.len() - PAGE..device.len()];
    for range in &ranges {
        device.set_writable(range.clone(), false).unwrap();
    }
    let start = device.address_range().start;
    let inside = |leaf: Leaf| ranges.iter().any(|range| range.contains(&(leaf.virtual_address - start)));
    assert!(all(device, |leaf| leaf.flags.is_writable() != inside(leaf)));
    for range in ranges {
        device.set_writable(range, true).unwrap();
    }
}

fn whole(device: &Device) {
    device.set_writable(0..device.len(), false).unwrap();
    assert!(all(device, |leaf| !leaf.flags.is_writable()));
    assert!(audit().is_ok());
    device.set_writable(0..device.len(), true).unwrap();
    device.read_lock().unwrap().write(|_| poke(device, 3 * MIB2, 0x44)).unwrap();
}

fn refused(device: &Device) {
    let length = device.len();
    for range in [1..PAGE, 0..PAGE + 8] {
        assert_eq!(device.set_writable(range.clone(), false), Err(WriteProtectError::Misaligned(range)));
    }
    #[allow(clippy::reversed_empty_ranges, reason = "it is to be refused")]
    for range in [length..length + PAGE, 0..u64::MAX, 2 * PAGE..PAGE] {
        assert!(matches!(device.set_writable(range, false), Err(WriteProtectError::OutOfRange(_))));
    }
    assert_eq!(device.set_writable(PAGE..PAGE, false), Ok(()));
    assert_eq!(device.leaf(length), None);
}
