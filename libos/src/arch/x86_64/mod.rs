//! x86-64: boot, CPU state, traps, interrupt controllers, time counters, and the protection-key register.
//!
//! Owns all inline assembly of the project and all privileged instructions; only [`pks`] writes IA32_PKRS. Never: policy.
//! What a fault means, who runs next and what is mapped where is decided by the rooms above.

mod apic;
pub mod backtrace;
mod boot;
pub mod cpu;
pub mod dax_copy;
pub mod entropy;
pub mod fpu;
mod gdt;
mod idt;
pub mod interrupts;
mod io_apic;
mod memory_functions;
pub mod percpu;
pub mod pit;
pub mod pks;
pub mod port;
pub mod pvh;
pub mod switch;
pub mod timer;
pub mod trap;
pub mod tsc;

pub(crate) use gdt::init_stacks;

/// Prepares this CPU's tables for traps: from here on an exception is reported instead of resetting the machine.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts disabled.
pub unsafe fn init_traps() {
    // SAFETY: forwarded to the caller; the IDT refers to the GDT that was loaded just before.
    unsafe {
        percpu::init();
        gdt::init();
        idt::init();
    }
}

/// Prepares the local APIC and the timer; interrupts may be enabled afterwards.
pub fn init_interrupts() {
    interrupts::mask_legacy_controller();
    tsc::calibrate();
    apic::init();
}
