//! Segments and the task-state segment: long mode needs them only for the code selector and for the stacks of the traps
//! that must not trust the interrupted one.

use core::cell::UnsafeCell;

use spin::Once;
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

/// Until memory is managed, all of these traps share one stack; a report is all that they do then.
#[repr(align(16))]
struct EarlyStack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: only the CPU's trap entry uses the array, as a stack.
unsafe impl Sync for EarlyStack {}

static EARLY_STACK: EarlyStack = EarlyStack(UnsafeCell::new([0; STACK_SIZE]));

struct TaskState(UnsafeCell<TaskStateSegment>);

// SAFETY: written only by `init` and `init_stacks`, on the boot CPU with interrupts disabled; otherwise the CPU reads it.
unsafe impl Sync for TaskState {}

static TASK_STATE: TaskState = TaskState(UnsafeCell::new(TaskStateSegment::new()));
static GDT: Once<GlobalDescriptorTable> = Once::new();

/// Loads the descriptor table and the task state, with one early stack for all traps that need their own.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts disabled.
pub(super) unsafe fn init() {
    let top = VirtAddr::from_ptr(EARLY_STACK.0.get()) + STACK_SIZE as u64;
    // SAFETY: nobody else uses the task state yet.
    let task_state = unsafe {
        (*TASK_STATE.0.get()).interrupt_stack_table = [top; 7];
        &*TASK_STATE.0.get()
    };
    let mut code = None;
    let mut task = None;
    let gdt = GDT.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        code = Some(gdt.append(Descriptor::kernel_code_segment()));
        task = Some(gdt.append(Descriptor::tss_segment(task_state)));
        gdt
    });
    gdt.load();
    if let (Some(code), Some(task)) = (code, task) {
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
}

/// The code segment's selector, for the interrupt descriptor table.
pub(super) fn code_selector() -> u16 {
    CS::get_reg().0
}

/// Gives #DF, NMI, #MC and #PF a stack each, with a guard below it.
pub(crate) fn init_stacks() -> Result<(), StackError> {
    for place in 0..OWN_STACKS {
        let stack = Stack::new(STACK_SIZE)?;
        // SAFETY: interrupts are disabled and the other CPUs are not started, so only an exception could read the entry
        // meanwhile, and the store is one aligned word.
        unsafe { (*TASK_STATE.0.get()).interrupt_stack_table[place] = VirtAddr::new(stack.top()) };
        core::mem::forget(stack);
    }
    Ok(())
}
