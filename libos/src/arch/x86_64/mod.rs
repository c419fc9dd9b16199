//! x86-64: boot, CPU state, traps, interrupt controllers, time counters, and the protection-key register.
//!
//! Owns all inline assembly of the project and all privileged instructions; only [`key_rights`] writes the
//! protection-key registers. Never: policy. What a fault means, who runs next and what is mapped where is decided by
//! the rooms above.

pub(crate) mod access;
mod apic;
pub mod backtrace;
mod boot;
pub mod cpu;
mod cpu_local;
pub mod dax_copy;
pub mod entropy;
pub mod fpu;
mod gdt;
mod hooks;
mod idt;
pub mod interrupts;
mod io_apic;
pub mod key_rights;
mod machine_check;
mod memory_functions;
pub mod paging;
pub mod percpu;
pub mod pit;
pub mod port;
pub mod pvh;
pub(crate) mod register_check;
pub mod shootdown;
pub(crate) mod single_step;
pub mod smp;
pub mod switch;
pub mod timer;
pub mod trap;
pub mod tsc;

pub(crate) use cpu_local::{CpuLocal, cpu_local};
pub(crate) use hooks::{Hooks, set_hooks};

/// Prepares the boot CPU for traps: from here on an exception is reported instead of resetting the machine.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts disabled.
pub unsafe fn init_traps() {
    // SAFETY: forwarded to the caller; the IDT refers to the GDT that was loaded just before.
    unsafe {
        percpu::init(0);
        gdt::init_boot();
        idt::init();
        idt::load();
    }
}

/// Replaces the boot CPU's first tables by those with guarded stacks, and write-protects the interrupt table, now that
/// memory is managed.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts disabled.
pub(crate) unsafe fn init_stacks() -> Result<(), crate::mm::StackError> {
    idt::write_protect()?;
    // SAFETY: forwarded to the caller; the code selector is the same in both tables, so the IDT stays right.
    unsafe { gdt::init() }
}

/// Prepares the boot CPU's local APIC and the timer; interrupts may be enabled afterwards.
pub fn init_interrupts() -> Result<(), crate::mm::DeviceMapError> {
    interrupts::mask_legacy_controller();
    tsc::calibrate();
    apic::init_boot()
}
