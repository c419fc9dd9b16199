//! Stores that are tried without the library's help: whether the CPU lets them through is found out by an interrupt
//! descriptor table of our own, with one gate, for page faults, whose handler skips the store and says so.
//!
//! It is for handlers of non-maskable interrupts. There every fault is final for the library, since returning from it
//! by IRET would end the CPU's blocking of those interrupts; this handler jumps back.

use std::arch::{asm, naked_asm};
use std::cell::UnsafeCell;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use libos::addr::VirtAddr;
use libos::dax::Device;

use super::verdict::{Verdict, same};

/// A gate for each vector up to that of page faults; two words each.
struct Table(UnsafeCell<[u64; 2 * GATES]>);

const PAGE_FAULT: usize = 14;
const GATES: usize = PAGE_FAULT + 1;

// SAFETY: written once, before it is used; then only the CPU reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([0; 2 * GATES]));
static FILLED: Once = Once::new();

/// What LIDT and SIDT take: a limit and a base.
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Present, ring 0, 64-bit interrupt gate.
const INTERRUPT_GATE: u64 = 0x8e << 40;

/// Fills the table. To be called before [`attempt`] is, outside of all handlers.
pub(crate) fn prepare() {
    FILLED.call_once(|| {
        let (handler, selector): (u64, u16) = (page_fault as *const () as u64, code_selector());
        let low = handler & 0xffff | u64::from(selector) << 16 | INTERRUPT_GATE | (handler >> 16 & 0xffff) << 48;
        // SAFETY: the only writer, once, before anybody loads the table.
        unsafe {
            let table = &mut *TABLE.0.get();
            table[2 * PAGE_FAULT] = low;
            table[2 * PAGE_FAULT + 1] = handler >> 32;
        }
    });
}

fn code_selector() -> u16 {
    let selector: u16;
    // SAFETY: reading CS changes nothing.
    unsafe { asm!("mov {:x}, cs", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    selector
}

/// Stores `value` at `at` under the table `own`; 0 if the CPU let it through, 1 if it faulted. Either way the table
/// `saved` is loaded at the end.
#[unsafe(naked)]
extern "C" fn store_or_skip(at: VirtAddr, value: u64, own: &Pointer, saved: &Pointer) -> u32 {
    naked_asm!("lidt [rdx]", "mov [rdi], rsi", "xor eax, eax", "lidt [rcx]", "ret")
}

/// The handler: goes on behind the store, with the stack as it was there, and the answer that it faulted. The error
/// code is at RSP, the interrupted stack pointer 32 bytes above; RCX still points to the table to load.
#[unsafe(naked)]
extern "C" fn page_fault() {
    naked_asm!("mov rsp, [rsp + 32]", "mov eax, 1", "lidt [rcx]", "ret")
}

/// What became of attempts, each in its slot, since a handler cannot return it.
static ATTEMPTS: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];
const STORED: u32 = 1;
const FAULTED: u32 = 2;

/// Tries a store to the device, in a handler with interrupts disabled; whether it faulted.
pub(crate) fn faults(device: &Device, offset: u64, value: u64) -> bool {
    let own = Pointer { limit: (size_of::<Table>() - 1) as u16, base: TABLE.0.get() as u64 };
    let mut saved = Pointer { limit: 0, base: 0 };
    // SAFETY: SIDT fills the ten bytes.
    unsafe { asm!("sidt [{}]", in(reg) &raw mut saved, options(nostack, preserves_flags)) };
    // A fault here is in nobody's way: the handler of one that was interrupted may not have read its address yet.
    let address: u64;
    // SAFETY: reading CR2 changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    let faulted = store_or_skip(device.address_range().start + offset, value, &own, &saved) != 0;
    // SAFETY: CR2 is only looked at by handlers of page faults, each of which finds what was there before.
    unsafe { asm!("mov cr2, {}", in(reg) address, options(nomem, nostack, preserves_flags)) };
    faulted
}

/// [`faults`], noted in this slot.
pub(crate) fn attempt(slot: usize, device: &Device, offset: u64, value: u64) {
    let outcome = if faults(device, offset, value) { FAULTED } else { STORED };
    ATTEMPTS[slot].store(outcome, Ordering::SeqCst);
}

/// Fails unless the attempt in this slot was made and faulted, or was made and did not.
pub(crate) fn attempted(what: &str, slot: usize, should_fault: bool) -> Verdict {
    let outcome = match ATTEMPTS[slot].swap(0, Ordering::SeqCst) {
        STORED => "went through",
        FAULTED => "faulted",
        _ => "was not tried",
    };
    same(format_args!("the store {what}"), outcome, if should_fault { "faulted" } else { "went through" })
}
