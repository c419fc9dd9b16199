//! Non-maskable interrupts: for whom they are.

use core::sync::atomic::{AtomicU64, Ordering};

use super::frame::TrapFrame;
use super::gdt::PAGE_FAULT_STACK;
use super::hooks::hooks;
#[cfg(feature = "testing")]
use super::nmi_handler::nmi_handler;
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

/// A CPU that ends the machine asks this one to stop, or nobody has asked for it; in builds for tests it may be for a
/// handler of theirs.
fn find_handler(frame: &TrapFrame) {
    if halt::is_ending_here() {
        // It would only cut the report short.
        return;
    }
    #[cfg(feature = "testing")]
    if let Some(handler) = nmi_handler() {
        return handler();
    }
    unexpected_nmi(frame);
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
