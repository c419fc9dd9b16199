//! Taking traps and interrupts into use.

use super::{gdt, idt};
use crate::arch::paging::PAGE;
use crate::arch::x86_64::machine::calibration::{self, CounterFrequency};
use crate::arch::x86_64::machine::{apic, interrupts, percpu};
use crate::mm::{DeviceMapError, StackError, map_mmio};

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
pub(crate) unsafe fn init_stacks() -> Result<(), StackError> {
    idt::write_protect()?;
    // SAFETY: forwarded to the caller; the code selector is the same in both tables, so the IDT stays right.
    unsafe { gdt::init() }
}

/// Prepares the boot CPU's local APIC and the timer, and begins to tell the time; interrupts may be enabled afterwards.
pub fn init_interrupts() -> Result<CounterFrequency, DeviceMapError> {
    interrupts::mask_legacy_controller();
    let registers = apic::registers().map(|physical| map_mmio(physical, PAGE as usize)).transpose()?;
    // SAFETY: where they are mapped, uncacheable and for ever.
    unsafe { apic::init_boot(registers) };
    Ok(calibration::calibrate())
}
