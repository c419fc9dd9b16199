//! Switching from one thread's stack to another's.

use core::arch::naked_asm;

use super::fpu::{INITIAL_MXCSR, INITIAL_X87_CONTROL};
use crate::addr::VirtAddr;

/// Saves what a call preserves (RBX, RBP, R12 to R15, MXCSR, the x87 control word) on the running stack, stores the
/// stack pointer at `save`, and continues on the stack `next`, where this or [`prepare`] left such a record.
///
/// # Safety
/// Interrupts are disabled. `next` was saved by this function or made by [`prepare`] and was not used since; the thread
/// pointer, the rights and the current thread are set for the thread that it belongs to.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *mut u64, next: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Lays out a new stack so that [`switch`] starts `entry(argument)` on it; the stack pointer to switch to.
///
/// # Safety
/// `top` is the 16-byte aligned end of a mapped stack that nothing uses, with room for at least one page.
pub unsafe fn prepare(top: VirtAddr, entry: extern "C" fn(usize) -> !, argument: usize) -> u64 {
    let frame: [u64; 10] = [
        u64::from(INITIAL_MXCSR) | u64::from(INITIAL_X87_CONTROL) << 32,
        0,                     // r15
        0,                     // r14
        argument as u64,       // r13
        entry as usize as u64, // r12
        0,                     // rbx
        0,                     // rbp: a backtrace ends here
        first as *const () as u64,
        0,
        0,
    ];
    let start = top - size_of_val(&frame) as u64;
    // SAFETY: the caller gives the memory below `top`.
    unsafe { start.as_mut_ptr::<[u64; 10]>().write(frame) };
    start.as_u64()
}

/// Where a new thread's first switch returns to.
#[unsafe(naked)]
extern "C" fn first() {
    naked_asm!("mov rdi, r13", "xor ebp, ebp", "call r12", "ud2")
}
