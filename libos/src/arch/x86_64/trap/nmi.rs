//! Non-maskable interrupts: for whom they are.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::frame::TrapFrame;
use super::gdt::PAGE_FAULT_STACK;
use super::hooks::hooks;
use crate::arch::x86_64::machine::percpu::PerCpu;
use crate::arch::x86_64::machine::port;
use crate::halt;

/// Handles one, with a stack of their own for page faults inside of it.
#[inline(never)]
pub(super) fn handle(frame: &TrapFrame, cpu: &PerCpu) {
    let stack = PAGE_FAULT_STACK.on(cpu);
    let before = stack.enter_non_maskable();
    cpu.in_nmi.store(true, Ordering::Relaxed);
    find_handler(frame);
    cpu.in_nmi.store(false, Ordering::Relaxed);
    stack.leave_non_maskable(before);
}

/// A CPU that ends the machine asks this one to stop, or it is for the handler that was set.
fn find_handler(frame: &TrapFrame) {
    if halt::is_ending_here() {
        // It would only cut the report short.
        return;
    }
    let handler = NMI_HANDLER.load(Ordering::Acquire);
    if handler == 0 {
        return unexpected_nmi(frame);
    }
    // SAFETY: only `set_nmi_handler` stores there; what is not 0 is the address of a `fn()`.
    let handler: fn() = unsafe { core::mem::transmute(handler) };
    handler();
}

/// A non-maskable interrupt that nobody has asked for. The chipset says whether it means that memory or a bus has
/// failed (port 0x61); else it is a watchdog's, a button's or another CPU's, and nothing is wrong here.
fn unexpected_nmi(frame: &TrapFrame) {
    const SYSTEM_CONTROL: u16 = 0x61;
    const MEMORY_ERROR: u8 = 1 << 7;
    const BUS_ERROR: u8 = 1 << 6;
    // What is read where there is no such port.
    const NO_ANSWER: u8 = 0xff;
    // SAFETY: the system control port B of PCs, or nothing's; reading it changes nothing.
    let status = unsafe { port::inb(SYSTEM_CONTROL) };
    if status != NO_ANSWER && status & (MEMORY_ERROR | BUS_ERROR) != 0 {
        (hooks().failure)(
            frame,
            format_args!("NMI: the chipset reports a memory or bus error (port 0x61 is {status:#04x})"),
        );
    }
    UNEXPECTED_NMIS.fetch_add(1, Ordering::Relaxed);
}

/// How many non-maskable interrupts nobody had asked for.
static UNEXPECTED_NMIS: AtomicU64 = AtomicU64::new(0);

/// How many non-maskable interrupts have come since boot that nobody had a handler for.
pub fn unexpected_nmis() -> u64 {
    UNEXPECTED_NMIS.load(Ordering::Relaxed)
}

/// The address of the `fn()` that handles a non-maskable interrupt; 0 if there is none.
static NMI_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Sets what a non-maskable interrupt does, beyond being counted if nobody has asked for it. The handler runs closed
/// like every other, on the stack for such interrupts, between any two instructions: it must not wait, allocate, or
/// take a lock. Those by which a report stops the other CPUs do not reach it.
pub fn set_nmi_handler(handler: Option<fn()>) {
    NMI_HANDLER.store(handler.map_or(0, |handler| handler as usize), Ordering::Release);
}
