//! The edges of a device, leaves of every size, and copies that run into a device.
//!
//! The first device has a leaf of 1 GiB, the others have leaves of 2 MiB. They follow each other without a gap.

use std::arch::asm;

use crate::probe::{
    AD, KEYS, OPEN, PLACE, Seen, access_with, device, is_one_fault, note_and_open, only, peek, poke, set_bits, store,
    store_byte, watch, watch_by,
};
use crate::tables::leaf;
use crate::verdict::{Case, Verdict, holds, same};

pub(crate) const CASES: &[Case] = &[
    ("leaf_1gib", || leaf_of(0, 0, 1 << 30)),
    ("leaf_2mib", || leaf_of(1, 0, 2 << 20)),
    ("leaf_2mib_last", || leaf_of(KEYS - 1, device(KEYS - 1).len() - 4096, 2 << 20)),
    ("byte_before", byte_before),
    ("byte_after", byte_after),
    ("across_the_edge", across_the_edge),
    ("across_a_page_inside", across_a_page_inside),
    ("rep_movs_into_the_next_device", || string_store(rep_movs)),
    ("rep_stos_into_the_next_device", || string_store(rep_stos)),
    ("rep_movs_backwards_into_the_device_before", rep_movs_backwards),
    ("rep_movs_stops_at_the_edge", rep_movs_crash),
    ("byte_before_all", || beyond(device(0).address_range().start - 1)),
    ("byte_after_all", || beyond(device(KEYS - 1).address_range().end)),
];

/// The page with this offset has a leaf of this size and the device's key, and all six rows hold there.
fn leaf_of(index: usize, offset: u64, size: u64) -> Verdict {
    let device = device(index);
    let leaf = leaf(device.address_range().start + offset).ok_or("nothing is mapped")?;
    same("the leaf's size", leaf.size, size)?;
    same("the leaf's key", Some(leaf.key()), device.key())?;
    access_with(device, AD, true, true)?;
    access_with(device, AD, false, true)?;
    access_with(device, OPEN, true, false)?;
    let (last, rights) = (device.len() - 8, only(device, AD));
    for offset in [0, offset, last] {
        let faults = watch(|| store(device, offset, peek(device, offset)));
        is_one_fault(&faults, device, offset, true, rights)?;
    }
    Ok(())
}

fn neighbours() -> Verdict {
    let pairs = (1..KEYS).map(|index| (device(index - 1).address_range(), device(index).address_range()));
    holds("the devices are neighbours", pairs.into_iter().all(|(left, right)| left.end == right.start))
}

/// One byte before a device for which there is a grant is the last byte of the one before it.
fn byte_before() -> Verdict {
    neighbours()?;
    let (left, right) = (device(1), device(2));
    let lock = right.read_lock().map_err(|error| error.to_string())?;
    let faults = lock.write(|_| watch(|| store_byte(right.address_range().start - 1, 0))).unwrap();
    is_one_fault(&faults, left, left.len() - 1, true, only(right, OPEN))
}

/// One byte after a device for which there is a grant is the first byte of the next one.
fn byte_after() -> Verdict {
    neighbours()?;
    let (left, right) = (device(1), device(2));
    let lock = left.read_lock().map_err(|error| error.to_string())?;
    let faults = lock.write(|_| watch(|| store_byte(left.address_range().end, 0))).unwrap();
    is_one_fault(&faults, right, 0, true, only(left, OPEN))
}

/// An access with one half in each of two devices, of which one is open: no byte of it is stored.
fn across_the_edge() -> Verdict {
    neighbours()?;
    let (left, right) = (device(1), device(2));
    let edge = left.len() - 8;
    for (open, closed, offset) in [(left, right, 0), (right, left, left.len() - 4)] {
        poke(left, edge, 0x1111);
        poke(right, 0, 0x2222);
        let lock = open.read_lock().map_err(|error| error.to_string())?;
        let faults = lock.write(|_| watch_by(note_both_sides, || store(left, left.len() - 4, u64::MAX))).unwrap();
        let fault = sides(&faults)?;
        is_one_fault(&[fault], closed, offset, true, only(open, OPEN))?;
        same("the left side when it faulted", LEFT.load(SeqCst), 0x1111)?;
        same("the right side when it faulted", RIGHT.load(SeqCst), 0x2222)?;
        same("the left side afterwards", peek(left, edge), 0xffff_ffff_0000_1111)?;
        same("the right side afterwards", peek(right, 0), 0xffff_ffff)?;
    }
    Ok(())
}

/// An access across two pages of one device: one fault, at its first byte.
fn across_a_page_inside() -> Verdict {
    let device = device(1);
    let offset = (4 << 20) - 4;
    let faults = watch(|| store(device, offset, 0));
    is_one_fault(&faults, device, offset, true, only(device, AD))
}

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use libos::addr::VirtAddr;

/// What the fault handler found on both sides of the edge between the second and the third device.
static LEFT: AtomicU64 = AtomicU64::new(0);
static RIGHT: AtomicU64 = AtomicU64::new(0);

fn note_both_sides(fault: &mut libos::dax::Fault<'_>) -> libos::dax::FaultAction {
    let left = device(1);
    LEFT.store(peek(left, left.len() - 8), SeqCst);
    RIGHT.store(peek(device(2), 0), SeqCst);
    note_and_open(fault)
}

fn sides(faults: &[Seen]) -> Result<Seen, String> {
    match faults {
        [fault] => Ok(*fault),
        _ => Err(format!("there should be one fault: {faults:?}")),
    }
}

const BYTE: u8 = 0x5a;

/// `rep movsb` of `count` bytes to `to`.
fn rep_movs(to: VirtAddr, count: usize) {
    let source = vec![BYTE; count];
    // SAFETY: the target is in devices, where no Rust object is; the source is as long as the count.
    unsafe {
        asm!("rep movsb", inout("rdi") to.as_u64() => _, inout("rsi") source.as_ptr() => _, inout("rcx") count => _,
            options(nostack, preserves_flags));
    }
}

/// `rep stosb` of `count` bytes to `to`.
fn rep_stos(to: VirtAddr, count: usize) {
    // SAFETY: as in `rep_movs`.
    unsafe {
        asm!("rep stosb", inout("rdi") to.as_u64() => _, inout("rcx") count => _, in("al") BYTE, options(nostack, preserves_flags));
    }
}

/// A string instruction that begins in an open device and runs into a closed one: when it faults, all bytes before the
/// edge are there and none after it.
fn string_store(run: fn(VirtAddr, usize)) -> Verdict {
    neighbours()?;
    let (left, right) = (device(1), device(2));
    poke(left, left.len() - 8, 0);
    poke(right, 0, 0x2222);
    let lock = left.read_lock().map_err(|error| error.to_string())?;
    let faults = lock.write(|_| watch_by(note_both_sides, || run(left.address_range().end - 1000, 2000))).unwrap();
    is_one_fault(&[sides(&faults)?], right, 0, true, only(left, OPEN))?;
    same("the left side when it faulted", LEFT.load(SeqCst), u64::from_le_bytes([BYTE; 8]))?;
    same("the right side when it faulted", RIGHT.load(SeqCst), 0x2222)?;
    // It was let through then, and went on where it was.
    same("the end of the copy", peek(right, 992), u64::from_le_bytes([BYTE; 8]))?;
    same("what follows the copy", peek(right, 1000) & 0xff, 0)
}

/// The same downwards.
fn rep_movs_backwards() -> Verdict {
    neighbours()?;
    let (left, right) = (device(1), device(2));
    poke(left, left.len() - 8, 0x1111);
    poke(right, 0, 0);
    let source = [BYTE; 2000];
    let last = right.address_range().start + 999;
    let lock = right.read_lock().map_err(|error| error.to_string())?;
    let faults = lock
        .write(|_| {
            watch_by(note_both_sides, || {
                // SAFETY: the target is in devices, where no Rust object is; the source is as long as the count, and
                // the copy begins at its end; the direction flag is as it was afterwards.
                unsafe {
                    asm!("std", "rep movsb", "cld", inout("rdi") last.as_u64() => _, inout("rsi") source.as_ptr().add(1999) => _,
                    inout("rcx") 2000usize => _, options(nostack));
                }
            })
        })
        .unwrap();
    is_one_fault(&[sides(&faults)?], left, left.len() - 1, true, only(right, OPEN))?;
    same("the right side when it faulted", RIGHT.load(SeqCst), u64::from_le_bytes([BYTE; 8]))?;
    same("the left side when it faulted", LEFT.load(SeqCst), 0x1111)
}

/// The same without a handler: the machine stops, and the host looks into the images.
fn rep_movs_crash() -> Verdict {
    let left = device(1);
    let lock = left.read_lock().map_err(|error| error.to_string())?;
    lock.write(|_| rep_movs(left.address_range().end - 1000, 2000)).unwrap();
    Err("the copy came back".to_owned())
}

/// One byte beyond all devices: nothing is mapped there, so it is an ordinary page fault, which stops the machine.
fn beyond(address: VirtAddr) -> Verdict {
    let (first, last) = (device(0), device(KEYS - 1));
    holds("nothing is mapped there", leaf(address).is_none())?;
    set_bits(first, OPEN);
    set_bits(last, OPEN);
    store_byte(address, 0);
    Err(format!("the store near {PLACE:#x} came back"))
}
