//! Code that runs in an interrupt or a non-maskable interrupt of the calling thread, and what it notes for the case.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use libos::arch::{interrupts, key_rights, percpu, trap};
use libos::dax::Rights;
use libos::task::{Timer, current_id};
use libos::time::now;

use super::verdict::{Verdict, same};

/// Whom to interrupt with what, and whether that has happened.
static VICTIM: AtomicU32 = AtomicU32::new(0);
static ROUTINE: AtomicUsize = AtomicUsize::new(0);
static TICKED: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);

fn tick(_: usize) {
    // Another thread may be running when the time has come; the next interrupt will do.
    if current_id() == VICTIM.load(Ordering::SeqCst) {
        // SAFETY: only `in_interrupt` stores there, and what it stores is a `fn()`.
        let routine: fn() = unsafe { std::mem::transmute(ROUTINE.load(Ordering::SeqCst)) };
        routine();
        DONE.store(true, Ordering::SeqCst);
    }
    TICKED.store(true, Ordering::SeqCst);
}

/// Runs `routine` in a timer interrupt that interrupts this thread; returns when it has.
pub(crate) fn in_interrupt(routine: fn()) {
    VICTIM.store(current_id(), Ordering::SeqCst);
    ROUTINE.store(routine as usize, Ordering::SeqCst);
    DONE.store(false, Ordering::SeqCst);
    let timer = Timer::new(tick, 0);
    while !DONE.load(Ordering::SeqCst) {
        TICKED.store(false, Ordering::SeqCst);
        timer.arm(now() + Duration::from_micros(200));
        while !TICKED.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    }
    timer.cancel();
}

/// How many non-maskable interrupts have been handled, and what each runs.
static NMIS: AtomicU32 = AtomicU32::new(0);
static NMI_ROUTINE: AtomicUsize = AtomicUsize::new(0);

fn non_maskable() {
    // SAFETY: only `in_nmi` stores there, and what it stores is a `fn()`.
    let routine: fn() = unsafe { std::mem::transmute(NMI_ROUTINE.load(Ordering::SeqCst)) };
    routine();
    NMIS.fetch_add(1, Ordering::SeqCst);
}

/// Runs `routine` in a non-maskable interrupt that this CPU sends itself; returns when it has. For the program's own
/// thread and for handlers that run in it, on a machine with one CPU.
pub(crate) fn in_nmi(routine: fn()) {
    NMI_ROUTINE.store(routine as usize, Ordering::SeqCst);
    trap::set_nmi_handler(Some(non_maskable));
    let before = NMIS.load(Ordering::SeqCst);
    let enabled = interrupts::disable();
    interrupts::send_nmi(percpu::this().id);
    while NMIS.load(Ordering::SeqCst) == before {
        std::hint::spin_loop();
    }
    interrupts::restore(enabled);
    trap::set_nmi_handler(None);
}

/// Rights that a handler saw, each in the register and in the CPU's memory of it: a handler cannot return what it
/// finds.
static NOTES: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// In a handler: notes its rights in this slot.
pub(crate) fn note_rights(slot: usize) {
    let enabled = interrupts::disable();
    let (register, remembered) = (key_rights::current().bits(), key_rights::remembered().map_or(0, Rights::bits));
    interrupts::restore(enabled);
    NOTES[slot].store(u64::from(register) | u64::from(remembered) << 32, Ordering::SeqCst);
}

/// Fails unless the rights in this slot were these, in both places.
pub(crate) fn noted(what: &str, slot: usize, rights: Rights) -> Verdict {
    let both = NOTES[slot].swap(0, Ordering::SeqCst);
    same(format_args!("the register {what}"), Rights::from_bits(both as u32), rights)?;
    same(format_args!("the CPU's memory {what}"), Rights::from_bits((both >> 32) as u32), rights)
}
