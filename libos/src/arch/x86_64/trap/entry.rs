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
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use super::frame::{TrapFrame, vector};
use super::gdt::PAGE_FAULT_STACK;
use super::hooks::hooks;
use super::{machine_check, nmi, single_step, vectors};
use crate::addr::VirtAddr;
use crate::arch::x86_64::machine::percpu::{self, PerCpu};
use crate::arch::x86_64::machine::{fpu, key_rights, shootdown};
use crate::trace::{self, layout::kind};

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
            vectors::dispatch(frame.vector as u8);
            trace::record(kind::RETURN, frame.vector as u8, 0);
        }
        vector::PAGE_FAULT => page_fault(frame, cpu),
        vector::DEBUG => {
            // Otherwise the instruction that was let through is done.
            if !single_step::finish(frame) {
                (hooks().exception)(frame);
            }
        }
        vector::NON_MASKABLE => nmi::handle(frame, cpu),
        vector::MACHINE_CHECK => machine_check::handle(frame),
        _ => (hooks().exception)(frame),
    }

    cpu.trap_depth.fetch_sub(1, Ordering::Relaxed);
    // A thread is preempted here, on its own stack, its rights safe in its frame.
    if frame.vector >= vector::FIRST_INTERRUPT && cpu.reschedule.load(Ordering::Relaxed) && !percpu::in_trap() {
        (hooks().preempt)(frame.rights());
    }
    key_rights::leave_trap(frame.pkrs);
}

/// Apart from [`handle`], where interrupts would save and restore registers for it.
#[inline(never)]
fn page_fault(frame: &mut TrapFrame, cpu: &PerCpu) {
    // Read at once: a page fault inside this one's handler changes it.
    let address = VirtAddr::new(x86_64::registers::control::Cr2::read_raw());
    let stack = PAGE_FAULT_STACK.on(cpu);
    if !stack.enter() {
        (hooks().exception)(frame);
    }
    (hooks().page_fault)(frame, address);
    stack.leave();
}
