//! Accesses that may fault, what the devices' fault handlers saw of them, and the key register.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libos::addr::VirtAddr;
use libos::arch::{interrupts, key_rights};
use libos::dax::{Device, Fault, FaultAction, Load, Rights, Store, devices};

use super::verdict::{Verdict, same};

/// How many devices the machine has: one for every key that can be given.
pub(crate) const KEYS: usize = 15;

/// No access: AD, the low bit of a key's two.
pub(crate) const AD: u32 = 0b01;
/// No write: WD, the high bit.
pub(crate) const WD: u32 = 0b10;
/// Neither: everything is allowed.
pub(crate) const OPEN: u32 = 0b00;

/// Where in a device the cases store, unless it matters.
pub(crate) const PLACE: u64 = 0x20_3450;

/// The device with this place in the machine's list.
pub(crate) fn device(index: usize) -> &'static Device {
    &devices()[index]
}

/// The number of a device's key.
pub(crate) fn key(device: &Device) -> u8 {
    device.key().expect("the cases run under protection")
}

/// The two bits that `rights` have for the device's key.
pub(crate) fn bits(rights: Rights, device: &Device) -> u32 {
    rights.bits() >> (key(device) * 2) & 0b11
}

/// `rights` with these two bits for the device's key.
pub(crate) fn with_bits(rights: Rights, device: &Device, bits: u32) -> Rights {
    let shift = key(device) * 2;
    Rights::from_bits(rights.bits() & !(0b11 << shift) | bits << shift)
}

/// The rights of someone who has nothing but these two bits for the device's key.
pub(crate) fn only(device: &Device, bits: u32) -> Rights {
    with_bits(Rights::CLOSED, device, bits)
}

/// Sets the two bits of the device's key in the register, as the tests of Linux do, past all grants.
pub(crate) fn set_bits(device: &Device, bits: u32) {
    force(|rights| with_bits(rights, device, bits));
}

/// Replaces this thread's rights, past all grants.
pub(crate) fn force(change: impl FnOnce(Rights) -> Rights) {
    // SAFETY: the stores of a case are what it tests, and `main` closes everything after it.
    unsafe { key_rights::force(change) };
}

/// Fails unless the register holds these rights, and the CPU's memory of it too.
pub(crate) fn register_is(what: &str, rights: Rights) -> Verdict {
    let enabled = interrupts::disable();
    let (register, remembered) = (key_rights::current(), key_rights::remembered());
    interrupts::restore(enabled);
    same(format_args!("the register {what}"), register, rights)?;
    same(format_args!("the CPU's memory of the register {what}"), remembered, Some(rights))
}

/// A 64-bit store past all grants.
#[inline(never)]
pub(crate) fn store(device: &Device, offset: u64, value: u64) {
    let at = (device.address_range().start + offset).as_mut_ptr::<u64>();
    // SAFETY: the bytes are a device's, so no Rust object is there; whether the store is permitted is what is tested.
    unsafe { at.write_unaligned_volatile(value) };
}

/// A store of one byte past all grants, at any address near a device.
#[inline(never)]
pub(crate) fn store_byte(address: VirtAddr, value: u8) {
    // SAFETY: as in `store`.
    unsafe { address.as_mut_ptr::<u8>().write_volatile(value) };
}

/// A 64-bit load past all grants.
#[inline(never)]
pub(crate) fn load(device: &Device, offset: u64) -> u64 {
    let at = (device.address_range().start + offset).as_ptr::<u64>();
    // SAFETY: as in `store`.
    unsafe { at.read_volatile() }
}

/// A volatile store to an address that need not be aligned.
trait WriteUnaligned {
    unsafe fn write_unaligned_volatile(self, value: u64);
}

impl WriteUnaligned for *mut u64 {
    unsafe fn write_unaligned_volatile(self, value: u64) {
        // SAFETY: the caller's.
        unsafe { std::arch::asm!("mov [{}], {}", in(reg) self, in(reg) value, options(nostack, preserves_flags)) };
    }
}

/// What is in the device, read with a grant.
pub(crate) fn peek(device: &Device, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    let lock = device.read_lock().expect("no case makes a device go away");
    lock.read(|grant| grant.load(offset, &mut bytes)).expect("the place is inside the device");
    u64::from_le_bytes(bytes)
}

/// Stores with a grant.
pub(crate) fn poke(device: &Device, offset: u64, value: u64) {
    let lock = device.read_lock().expect("no case makes a device go away");
    lock.write(|grant| grant.store(offset, &value.to_le_bytes())).unwrap().expect("the place is inside the device");
}

/// A fault as a device's handler saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The key of the device that it came to.
    pub(crate) key: u8,
    pub(crate) offset: u64,
    pub(crate) write: bool,
    /// The faulting context's rights.
    pub(crate) rights: Rights,
    /// The rights of the handler itself when it began.
    pub(crate) inside: Rights,
    /// What was in the eight bytes around the place, then.
    pub(crate) content: u64,
}

/// A [`Seen`], written by a handler and read by the case.
struct Note {
    place: AtomicU64,
    rights: AtomicU32,
    inside: AtomicU32,
    content: AtomicU64,
}

const WRITE: u64 = 1 << 63;
const KEY_SHIFT: u32 = 56;

static NOTES: [Note; 64] = [const {
    Note { place: AtomicU64::new(0), rights: AtomicU32::new(0), inside: AtomicU32::new(0), content: AtomicU64::new(0) }
}; 64];
static COUNT: AtomicU32 = AtomicU32::new(0);

/// How many faults there were since the last [`watch`] began.
pub(crate) fn fault_count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

/// Notes a fault.
pub(crate) fn note(fault: &Fault<'_>) {
    let inside = key_rights::current();
    let device = fault.device();
    let aligned = (fault.offset() & !7).min(device.len() - 8);
    let content = peek(device, aligned);
    let write = if fault.is_write() { WRITE } else { 0 };
    if let Some(note) = NOTES.get(COUNT.fetch_add(1, Ordering::SeqCst) as usize) {
        note.place.store(fault.offset() | u64::from(key(device)) << KEY_SHIFT | write, Ordering::SeqCst);
        note.rights.store(fault.rights().bits(), Ordering::SeqCst);
        note.inside.store(inside.bits(), Ordering::SeqCst);
        note.content.store(content, Ordering::SeqCst);
    }
}

/// A handler that notes the fault and opens the key for the context that faulted, so that the access then happens.
pub(crate) fn note_and_open(fault: &mut Fault<'_>) -> FaultAction {
    note(fault);
    open(fault)
}

/// Opens the key of a fault's device for the context that faulted.
pub(crate) fn open(fault: &mut Fault<'_>) -> FaultAction {
    fault.set_rights(with_bits(fault.rights(), fault.device(), OPEN));
    FaultAction::Retry
}

fn seen() -> Vec<Seen> {
    let notes = NOTES.iter().take(fault_count() as usize);
    notes
        .map(|note| {
            let place = note.place.load(Ordering::SeqCst);
            Seen {
                key: (place >> KEY_SHIFT) as u8 & 0xf,
                offset: place & ((1 << KEY_SHIFT) - 1),
                write: place & WRITE != 0,
                rights: Rights::from_bits(note.rights.load(Ordering::SeqCst)),
                inside: Rights::from_bits(note.inside.load(Ordering::SeqCst)),
                content: note.content.load(Ordering::SeqCst),
            }
        })
        .collect()
}

/// Runs `body` while this handler serves every device; what [`note`] noted meanwhile. The caller has its own rights
/// back afterwards, whatever a handler gave it.
pub(crate) fn watch_by(handler: fn(&mut Fault<'_>) -> FaultAction, body: impl FnOnce()) -> Vec<Seen> {
    let before = key_rights::current();
    COUNT.store(0, Ordering::SeqCst);
    devices().iter().for_each(|device| device.set_fault_handler(Some(handler)));
    body();
    devices().iter().for_each(|device| device.set_fault_handler(None));
    force(|_| before);
    seen()
}

/// [`watch_by`] the handler [`note_and_open`].
pub(crate) fn watch(body: impl FnOnce()) -> Vec<Seen> {
    watch_by(note_and_open, body)
}

/// Fails unless `faults` is one fault at this place, with these rights.
pub(crate) fn is_one_fault(faults: &[Seen], device: &Device, offset: u64, write: bool, rights: Rights) -> Verdict {
    let [fault] = faults else { return Err(format!("there should be one fault: {faults:?}")) };
    same("the key of the fault's device", fault.key, key(device))?;
    same("the fault's offset", fault.offset, offset)?;
    same("whether the fault was a write", fault.write, write)?;
    same("the faulting context's rights", fault.rights, rights)?;
    same("the handler's own rights", fault.inside, Rights::CLOSED)
}

/// Sets the key's two bits, makes one access, and fails unless it faults as it should: with these very bits, at that
/// place, and before anything was stored. Closes the key again.
pub(crate) fn access_with(device: &'static Device, bits: u32, write: bool, should_fault: bool) -> Verdict {
    let old = 0x1111_2222_3333_4444 ^ u64::from(bits);
    let new = !old;
    poke(device, PLACE, old);
    set_bits(device, bits);
    let rights = key_rights::current();
    let mut loaded = None;
    let faults = watch(|| if write { store(device, PLACE, new) } else { loaded = Some(load(device, PLACE)) });
    set_bits(device, AD);
    if should_fault {
        is_one_fault(&faults, device, PLACE, write, rights)?;
        same("what was there when it faulted", faults[0].content, old)?;
    } else {
        same("the faults", faults, vec![])?;
    }
    same("what is there afterwards", peek(device, PLACE), if write { new } else { old })?;
    same("what was loaded", loaded, if write { None } else { Some(old) })
}
