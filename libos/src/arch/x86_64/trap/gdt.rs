//! Segments and the task-state segment: long mode needs them only for the code selector and for the stacks of the traps
//! that must not trust the interrupted one.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::arch::cpu_local;
use crate::mm::{Stack, StackError};

/// The traps with a stack of their own, each at its place in the interrupt stack table.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum OwnStack {
    DoubleFault = 0,
    NonMaskable = 1,
    MachineCheck = 2,
    PageFault = 3,
    Debug = 4,
}

const OWN_STACKS: usize = 5;

/// The size of each of these stacks, in bytes: room for a report, which formats text.
const STACK_SIZE: usize = 32 << 10;

/// How deeply page faults can be nested, outside of a non-maskable interrupt and again inside of one.
const PAGE_FAULT_DEPTH: u32 = 3;

/// Where this CPU's next page fault finds its stack.
///
/// The CPU takes a trap's own stack from the same place each time, so a second page fault, out of the first one's
/// handler, would overwrite the first one's frame. So the handler moves the place down for as long as it works. A
/// non-maskable interrupt may come before it has done that, or after it has undone it; so the handler of those moves
/// the place to a stack for its own page faults.
#[derive(Debug)]
pub(super) struct PageFaultStack {
    /// Where in the task-state segment the place is written; 0 until the CPU has its own tables.
    entry: AtomicU64,
    /// How many page faults are being handled on the stack in use.
    depth: AtomicU32,
    /// The top of the stack for page faults inside non-maskable interrupts.
    non_maskable: AtomicU64,
}

cpu_local! {
    /// Where a CPU's next page fault finds its stack.
    pub(super) static PAGE_FAULT_STACK: PageFaultStack = PageFaultStack::new();
}

/// Which place was in use before a non-maskable interrupt.
#[derive(Clone, Copy)]
pub(super) struct Before {
    place: u64,
    depth: u32,
}

impl PageFaultStack {
    const fn new() -> Self {
        Self { entry: AtomicU64::new(0), depth: AtomicU32::new(0), non_maskable: AtomicU64::new(0) }
    }

    /// Writes the place; the one before. Nothing happens before the CPU has its own tables.
    fn replace(&self, place: impl FnOnce(u64) -> u64) -> u64 {
        let entry = self.entry.load(Ordering::Relaxed) as *mut u64;
        if entry.is_null() {
            return 0;
        }
        // SAFETY: `init` stored the address of a field of this CPU's task-state segment, which lives for ever. Only
        // this CPU reads and writes it, and what interrupts us here puts it back. The field is not aligned to
        // its size.
        unsafe {
            let before = entry.read_unaligned();
            entry.write_unaligned(place(before));
            before
        }
    }

    /// A page fault is being handled from here on; false if there is no stack for another one inside of it.
    pub(super) fn enter(&self) -> bool {
        let depth = self.depth.fetch_add(1, Ordering::Relaxed);
        self.replace(|place| place - STACK_SIZE as u64);
        depth + 1 < PAGE_FAULT_DEPTH
    }

    /// The page fault that was entered last is handled.
    pub(super) fn leave(&self) {
        self.replace(|place| place + STACK_SIZE as u64);
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// A non-maskable interrupt is being handled from here on.
    pub(super) fn enter_non_maskable(&self) -> Before {
        let place = self.replace(|_| self.non_maskable.load(Ordering::Relaxed));
        Before { place, depth: self.depth.swap(0, Ordering::Relaxed) }
    }

    /// The non-maskable interrupt is handled.
    pub(super) fn leave_non_maskable(&self, before: Before) {
        self.depth.store(before.depth, Ordering::Relaxed);
        self.replace(|_| before.place);
    }
}

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

/// Gives this CPU tables of its own, with a guarded stack each for #DF, NMI, #MC, #PF and #DB, and one for #PF inside
/// an NMI.
///
/// # Safety
/// Called once on each CPU, with interrupts disabled.
pub(in crate::arch) unsafe fn init() -> Result<(), StackError> {
    let mut tables = Box::new(Tables { gdt: GlobalDescriptorTable::new(), task_state: TaskStateSegment::new() });
    // The CPU uses these for ever.
    let stack = |size| Stack::new(size).map(|stack| core::mem::ManuallyDrop::new(stack).top());
    let nested = STACK_SIZE * PAGE_FAULT_DEPTH as usize;
    for place in 0..OWN_STACKS {
        let size = if place == OwnStack::PageFault as usize { nested } else { STACK_SIZE };
        tables.task_state.interrupt_stack_table[place] = VirtAddr::new(stack(size)?.as_u64());
    }
    let page_faults = &PAGE_FAULT_STACK.here();
    page_faults.non_maskable.store(stack(nested)?.as_u64(), Ordering::Relaxed);
    let tables = Box::leak(tables);
    let table = (&raw const tables.task_state).addr() + offset_of!(TaskStateSegment, interrupt_stack_table);
    let entry = table + OwnStack::PageFault as usize * size_of::<VirtAddr>();
    page_faults.entry.store(entry as u64, Ordering::Relaxed);
    // SAFETY: forwarded; the tables live for ever.
    unsafe { load(tables) };
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
