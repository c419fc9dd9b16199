//! Segments and the task-state segment: long mode needs them only for the code selector and for the stacks of the traps
//! that must not trust the interrupted one.

use alloc::boxed::Box;
use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::mm::{Stack, StackError};

/// The traps with a stack of their own, each at its place in the interrupt stack table.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum OwnStack {
    DoubleFault = 0,
    NonMaskable = 1,
    MachineCheck = 2,
    PageFault = 3,
}

const OWN_STACKS: usize = 4;

/// The size of each of these stacks, in bytes: room for a report, which formats text.
const STACK_SIZE: usize = 32 << 10;

/// Until memory is managed, all of these traps share one stack on the boot CPU; a report is all that they do then.
#[repr(align(16))]
struct EarlyStack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: only the CPU's trap entry uses the array, as a stack.
unsafe impl Sync for EarlyStack {}

static EARLY_STACK: EarlyStack = EarlyStack(UnsafeCell::new([0; STACK_SIZE]));

/// One CPU's tables.
#[derive(Debug)]
struct Tables {
    gdt: GlobalDescriptorTable,
    task_state: TaskStateSegment,
}

struct BootTables(UnsafeCell<Tables>);

// SAFETY: written only by `init_boot`, on the boot CPU before anything else runs.
unsafe impl Sync for BootTables {}

static BOOT_TABLES: BootTables =
    BootTables(UnsafeCell::new(Tables { gdt: GlobalDescriptorTable::new(), task_state: TaskStateSegment::new() }));

/// Loads the boot CPU's first tables, with one early stack for all traps that need their own.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts disabled.
pub(super) unsafe fn init_boot() {
    let top = VirtAddr::from_ptr(EARLY_STACK.0.get()) + STACK_SIZE as u64;
    // SAFETY: nobody else uses the tables yet, and `load` only reads them from here on.
    let tables = unsafe { &mut *BOOT_TABLES.0.get() };
    tables.task_state.interrupt_stack_table = [top; 7];
    // SAFETY: forwarded; the tables are static.
    unsafe { load(tables) };
}

/// Gives this CPU tables of its own, with a guarded stack each for #DF, NMI, #MC and #PF.
///
/// # Safety
/// Called once on each CPU, with interrupts disabled.
pub(super) unsafe fn init() -> Result<(), StackError> {
    let mut tables = Box::new(Tables { gdt: GlobalDescriptorTable::new(), task_state: TaskStateSegment::new() });
    for place in 0..OWN_STACKS {
        let stack = Stack::new(STACK_SIZE)?;
        tables.task_state.interrupt_stack_table[place] = VirtAddr::new(stack.top());
        // The CPU uses it for ever.
        core::mem::forget(stack);
    }
    // SAFETY: forwarded; the tables live for ever.
    unsafe { load(Box::leak(tables)) };
    Ok(())
}

/// # Safety
/// Interrupts are disabled, and the tables are this CPU's alone.
unsafe fn load(tables: &'static mut Tables) {
    let code = tables.gdt.append(Descriptor::kernel_code_segment());
    // SAFETY: the task state lives for ever, beside the table that refers to it, and nobody moves it.
    let task = tables.gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const tables.task_state) });
    tables.gdt.load();
    // SAFETY: both selectors were just made for the table that was just loaded; null data segments are valid in long
    // mode. FS and GS are not touched: their bases are in use.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(SegmentSelector::NULL);
        DS::set_reg(SegmentSelector::NULL);
        ES::set_reg(SegmentSelector::NULL);
        load_tss(task);
    }
}

/// The code segment's selector, for the interrupt descriptor table.
pub(super) fn code_selector() -> u16 {
    CS::get_reg().0
}
