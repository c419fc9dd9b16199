//! The interrupt descriptor table: 256 interrupt gates to the stubs in [`super::entry`].

use core::cell::UnsafeCell;
use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::entry::{STUB_SIZE, stubs};
use super::frame::vector;
use super::gdt::{OwnStack, code_selector};
use crate::addr::{self, AddrRange};
use crate::arch::paging::PAGE;
use crate::mm;
use crate::mm::attributes::Permissions;
use crate::mm::page_table::MapError;

/// A 64-bit gate descriptor (SDM volume 3A, section 6.14.1).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

/// Present, ring 0, 64-bit interrupt gate: interrupts are disabled on entry.
const INTERRUPT_GATE: u8 = 0x8e;

impl Gate {
    const EMPTY: Self =
        Self { offset_low: 0, selector: 0, stack: 0, kind: 0, offset_middle: 0, offset_high: 0, reserved: 0 };

    fn new(handler: u64, stack: Option<OwnStack>) -> Self {
        Self {
            offset_low: handler as u16,
            selector: code_selector(),
            // The field counts from 1; 0 means the interrupted stack.
            stack: stack.map_or(0, |stack| stack as u8 + 1),
            kind: INTERRUPT_GATE,
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

/// A page of its own, so that it can be write-protected.
#[repr(align(4096))]
struct Gates(UnsafeCell<[Gate; 256]>);

const _: () = assert!(size_of::<Gates>() == PAGE as usize, "nothing else is in the table's page");

// SAFETY: written only by `init`, before the table is loaded.
unsafe impl Sync for Gates {}

static TABLE: Gates = Gates(UnsafeCell::new([Gate::EMPTY; 256]));

/// Fills the table, which is the same for all CPUs.
///
/// # Safety
/// Called once, on the boot CPU, after the GDT is loaded and before [`load`].
pub(super) unsafe fn init() {
    // SAFETY: nobody else uses the table before it is loaded.
    let table = unsafe { &mut *TABLE.0.get() };
    for (number, gate) in table.iter_mut().enumerate() {
        let stack = match number as u64 {
            vector::DOUBLE_FAULT => Some(OwnStack::DoubleFault),
            vector::NON_MASKABLE => Some(OwnStack::NonMaskable),
            vector::MACHINE_CHECK => Some(OwnStack::MachineCheck),
            vector::DEBUG => Some(OwnStack::Debug),
            vector::PAGE_FAULT => Some(OwnStack::PageFault),
            _ => None,
        };
        *gate = Gate::new(stubs() + number as u64 * STUB_SIZE, stack);
    }
}

/// Write-protects the table, now that memory is managed: it does not change any more, and a stray store there would be
/// found only by the next trap, which could not be reported.
pub(super) fn write_protect() -> Result<(), MapError> {
    mm::protect(Range::of(addr::VirtAddr::from_ptr(TABLE.0.get()), PAGE), Permissions::Read)
}

/// Loads the table on this CPU.
///
/// # Safety
/// The table is filled, and this CPU's GDT is loaded; interrupts are disabled.
pub(in crate::arch) unsafe fn load() {
    let pointer =
        DescriptorTablePointer { limit: (size_of::<Gates>() - 1) as u16, base: VirtAddr::from_ptr(TABLE.0.get()) };
    // SAFETY: the table is static and each gate leads to a stub for its vector.
    unsafe { lidt(&pointer) };
}
