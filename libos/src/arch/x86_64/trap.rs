//! Trap entry and exit: what every interrupt and exception goes through.
//!
//! A stub for each vector pushes the vector's number (and a zero where the CPU pushes no error code) and joins the
//! common path, which builds a [`TrapFrame`] on the stack: all general registers, and below it all vector state.
//! Interrupts use the interrupted thread's own stack (there is no red zone), so a handler may switch to another thread
//! and come back later. #DF, NMI, #MC, #PF and #DB have stacks of their own; [`super::gdt`] sees to it that a page
//! fault inside the handler of another one, or inside a non-maskable interrupt that came in the middle of one, finds an
//! unused part.
//!
//! Nothing returns from a trap inside a non-maskable interrupt: IRET would end the CPU's blocking of those, and the
//! next one would overwrite the frame of the first. So a fault there is final under every policy; handlers of such
//! interrupts that do not fault are safe.
//!
//! Protection keys: the first thing that the Rust part does is to note the interrupted context's rights in the frame
//! and to close all keys; the last thing is to restore them. What the handler opens meanwhile is its own. The frame,
//! and not a local variable, keeps the rights, so that reports and handlers can see them and nested traps nest.

use core::arch::global_asm;
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::hooks::hooks;
use super::{fpu, interrupts, key_rights, machine_check, percpu, port, shootdown, single_step};
use crate::keys::Rights;
use crate::trace::{self, layout::kind};

/// Vector numbers of exceptions (SDM volume 3A, table 6-1).
pub mod vector {
    /// Debug exception.
    pub const DEBUG: u64 = 1;
    /// Non-maskable interrupt.
    pub const NON_MASKABLE: u64 = 2;
    /// Double fault.
    pub const DOUBLE_FAULT: u64 = 8;
    /// Page fault.
    pub const PAGE_FAULT: u64 = 14;
    /// Machine check.
    pub const MACHINE_CHECK: u64 = 18;
    /// The first vector that is not an exception.
    pub const FIRST_INTERRUPT: u64 = 32;
}

/// The interrupted context, as the entry code left it on the stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TrapFrame {
    /// The protection-key register of the interrupted context in the low 32 bits; above them a mark of
    /// [`key_rights`]'s.
    pub pkrs: u64,
    /// General registers in the order R15 to R8, RBP, RDI, RSI, RDX, RCX, RBX, RAX.
    pub general: [u64; 15],
    /// The vector's number.
    pub vector: u64,
    /// The error code; 0 for vectors without one.
    pub error_code: u64,
    /// The interrupted instruction's address.
    pub rip: u64,
    /// The code segment's selector.
    pub cs: u64,
    /// The flags.
    pub rflags: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// The stack segment's selector.
    pub ss: u64,
}

/// Places in [`TrapFrame::general`].
const RBP: usize = 8;
const RAX: usize = 14;

/// RFLAGS.IF, and the bit that is always set.
const INTERRUPT_FLAG: u64 = 1 << 9;
const RESERVED_FLAG: u64 = 1 << 1;

/// Names of [`TrapFrame::general`], in order.
const GENERAL_NAMES: [&str; 15] =
    ["r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rbp", "rdi", "rsi", "rdx", "rcx", "rbx", "rax"];

impl TrapFrame {
    /// The interrupted context's frame pointer.
    pub fn rbp(&self) -> u64 {
        self.general[RBP]
    }

    pub(super) fn rcx(&self) -> u64 {
        self.general[12]
    }

    pub(super) fn rsi(&self) -> u64 {
        self.general[10]
    }

    pub(super) fn rdi(&self) -> u64 {
        self.general[9]
    }

    pub(super) fn r8(&self) -> u64 {
        self.general[7]
    }

    /// The interrupted context's rights to keyed pages.
    pub fn rights(&self) -> Rights {
        Rights::from_bits(self.pkrs as u32)
    }

    /// Whether this is a thread, interrupted where it may be: interrupts were enabled, and nothing but this trap is
    /// being handled.
    pub(crate) fn is_thread(&self) -> bool {
        self.rflags & INTERRUPT_FLAG != 0 && percpu::trap_depth() == 1
    }

    /// Whether this is a thread, wherever it was interrupted: nothing but this trap is being handled.
    pub(crate) fn is_in_thread(&self) -> bool {
        percpu::trap_depth() == 1
    }

    /// Makes the interrupted thread go on with `function`, on its own stack below what it has used, with closed rights.
    pub(crate) fn divert(&mut self, function: extern "C" fn() -> !) {
        single_step::forget();
        self.set_rights(Rights::CLOSED);
        self.rip = function as usize as u64;
        // As after a call: the return address's place, then a multiple of 16.
        self.rsp = (self.rsp & !15) - 8;
        self.general[RBP] = 0;
        self.rflags = INTERRUPT_FLAG | RESERVED_FLAG;
    }

    /// Makes the interrupted function, which has pushed nothing, return `value` to its caller.
    pub(super) fn return_early(&mut self, value: u64) {
        // SAFETY: the stack pointer of a function that has pushed nothing is at its return address, on the stack of a
        // context that this trap interrupted and that does not run meanwhile.
        self.rip = unsafe { (self.rsp as *const u64).read() };
        self.rsp += 8;
        self.general[RAX] = value;
    }

    /// Gives the interrupted context other rights, from when it goes on.
    pub(crate) fn set_rights(&mut self, rights: Rights) {
        self.pkrs = (self.pkrs & !u64::from(u32::MAX)) | u64::from(rights.bits());
    }
}

impl fmt::Debug for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  rip {:#018x} rsp {:#018x} rflags {:#x} error code {:#x}",
            self.rip, self.rsp, self.rflags, self.error_code
        )?;
        for (number, (name, value)) in GENERAL_NAMES.iter().zip(self.general).rev().enumerate() {
            f.write_str(if number % 4 == 0 { "\n  " } else { "  " })?;
            write!(f, "{name:3} {value:#018x}")?;
        }
        Ok(())
    }
}

/// The distance between two stubs, in bytes.
pub(super) const STUB_SIZE: u64 = 16;

unsafe extern "C" {
    static trap_stubs: u8;
}

/// The address of the stub for vector 0.
pub(super) fn stubs() -> u64 {
    (&raw const trap_stubs).addr() as u64
}

global_asm!(
    r#"
    .section .text.trap, "ax", @progbits
    .balign 16
    .global trap_stubs
    trap_stubs:
    .set trap_vector, 0
    .rept 256
        .balign 16
        // Vectors for which the CPU pushes an error code itself: 8, 10-14, 17, 21, 29, 30.
        .if (trap_vector < 32) && ((0x60227d00 >> trap_vector) & 1)
        .else
        pushq $0
        .endif
        pushq $trap_vector
        jmp trap_common
        .set trap_vector, trap_vector + 1
    .endr

    trap_common:
        cld
        pushq %rax
        pushq %rbx
        pushq %rcx
        pushq %rdx
        pushq %rsi
        pushq %rdi
        pushq %rbp
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        pushq $0
        movq %rsp, %rdi
        movq %rsp, %rbx
        // From here on RBX is where the frame lies: for debuggers, that a signal came, and where every register is.
        .cfi_sections .debug_frame
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa %rbx, 0
        .cfi_offset %r15, {general}
        .cfi_offset %r14, {general} + 8
        .cfi_offset %r13, {general} + 16
        .cfi_offset %r12, {general} + 24
        .cfi_offset %r11, {general} + 32
        .cfi_offset %r10, {general} + 40
        .cfi_offset %r9, {general} + 48
        .cfi_offset %r8, {general} + 56
        .cfi_offset %rbp, {general} + 64
        .cfi_offset %rdi, {general} + 72
        .cfi_offset %rsi, {general} + 80
        .cfi_offset %rdx, {general} + 88
        .cfi_offset %rcx, {general} + 96
        .cfi_offset %rbx, {general} + 104
        .cfi_offset %rax, {general} + 112
        .cfi_offset %rip, {rip}
        .cfi_offset %rsp, {rsp}
        // XSAVE writes only part of the area's header, and XRSTOR demands that the rest of it be zero.
        subq ${area}, %rsp
        andq $-64, %rsp
        xorl %eax, %eax
        movq %rax, 512(%rsp)
        movq %rax, 520(%rsp)
        movq %rax, 528(%rsp)
        movq %rax, 536(%rsp)
        movq %rax, 544(%rsp)
        movq %rax, 552(%rsp)
        movq %rax, 560(%rsp)
        movq %rax, 568(%rsp)
        movl ${mask}, %eax
        xorl %edx, %edx
        xsave64 (%rsp)
        // A frame record for the interrupted instruction, so that a backtrace out of the handler names its function
        // too.
        pushq {rip}(%rbx)
        pushq %rbp
        movq %rsp, %rbp
        call {handler}
        addq $16, %rsp
        movl ${mask}, %eax
        xorl %edx, %edx
        xrstor64 (%rsp)
        movq %rbx, %rsp
        .cfi_endproc
        addq $8, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rbp
        popq %rdi
        popq %rsi
        popq %rdx
        popq %rcx
        popq %rbx
        popq %rax
        addq $16, %rsp
        iretq
    .text
    "#,
    area = const fpu::XSAVE_AREA,
    mask = const fpu::XSAVE_MASK,
    general = const offset_of!(TrapFrame, general),
    rip = const offset_of!(TrapFrame, rip),
    rsp = const offset_of!(TrapFrame, rsp),
    handler = sym handle,
    options(att_syntax)
);

/// The Rust part of every trap.
extern "C" fn handle(frame: &mut TrapFrame) {
    frame.pkrs = key_rights::enter_trap();
    let cpu = percpu::this();
    shootdown::leave_lazy(cpu);
    cpu.trap_depth.fetch_add(1, Ordering::Relaxed);

    match frame.vector {
        vector::FIRST_INTERRUPT.. => {
            cpu.counters.interrupts.add(1);
            trace::record(kind::INTERRUPT, frame.vector as u8, 0);
            interrupts::dispatch(frame.vector as u8);
            trace::record(kind::RETURN, frame.vector as u8, 0);
        }
        vector::PAGE_FAULT => {
            // Read at once: a page fault inside this one's handler changes it.
            let address = x86_64::registers::control::Cr2::read_raw();
            if !cpu.page_fault_stack.enter() {
                (hooks().exception)(frame);
            }
            (hooks().page_fault)(frame, address);
            cpu.page_fault_stack.leave();
        }
        vector::DEBUG => {
            // Otherwise the instruction that was let through is done.
            if !single_step::finish(frame) {
                (hooks().exception)(frame);
            }
        }
        vector::NON_MASKABLE => {
            let before = cpu.page_fault_stack.enter_non_maskable();
            cpu.in_nmi.store(true, Ordering::Relaxed);
            non_maskable_interrupt(frame);
            cpu.in_nmi.store(false, Ordering::Relaxed);
            cpu.page_fault_stack.leave_non_maskable(before);
        }
        vector::MACHINE_CHECK => machine_check::handle(frame),
        _ => (hooks().exception)(frame),
    }

    cpu.trap_depth.fetch_sub(1, Ordering::Relaxed);
    // A thread is preempted here, on its own stack, its rights safe in its frame.
    if frame.vector >= vector::FIRST_INTERRUPT && cpu.reschedule.load(Ordering::Relaxed) && !in_trap() {
        (hooks().preempt)(frame.rights());
    }
    key_rights::leave_trap(frame.pkrs);
}

fn non_maskable_interrupt(frame: &TrapFrame) {
    if crate::halt::is_ending_here() {
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

/// Whether this CPU is handling a non-maskable interrupt, where a fault is final.
pub(crate) fn in_nmi() -> bool {
    // As one instruction: a thread sees false wherever it is.
    percpu::in_nmi()
}

/// Whether this CPU is handling a trap. What may sleep asks this first.
pub fn in_trap() -> bool {
    percpu::trap_depth() != 0
}
