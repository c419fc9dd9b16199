//! Choosing how many levels the page tables have, and switching to them.
//!
//! The boot code enters long mode on four levels. CR4.LA57, which says five, cannot be changed while paging is on, and
//! paging cannot be turned off in 64-bit mode (SDM volume 3A, section 2.5): the way leads through 32-bit code. CPUs
//! that are started later take the right number of levels at once; see [`crate::arch::smp`].

use core::arch::{asm, global_asm};
use core::fmt;

use x86_64::registers::control::{Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::PhysFrame;

use super::cpu;
use crate::addr::PhysAddr;
use crate::arch::paging::{Levels, Mode, Paging};

/// The physical addresses that four levels leave room for, in bits: above these, persistent memory could not be mapped.
const FOUR_LEVELS_REACH: u32 = 46;

/// Five levels were asked for, and this CPU has four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFiveLevels;

impl fmt::Display for NoFiveLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "paging=5 asks for five-level page tables, which this CPU lacks (no LA57); run on one that has them (under \
             QEMU: -cpu max), or leave the choice to the boot with paging=auto",
        )
    }
}

/// How this machine's page tables are to look. Unless the person who boots decides, there are five levels only if the
/// CPU's physical addresses need them: each level makes every TLB miss longer.
pub fn mode(choice: Paging) -> Result<Mode, NoFiveLevels> {
    let levels = match choice {
        Paging::Five if !cpu::has_five_levels() => return Err(NoFiveLevels),
        Paging::Five => Levels::Five,
        Paging::Auto if cpu::has_five_levels() && cpu::physical_address_bits() > FOUR_LEVELS_REACH => Levels::Five,
        Paging::Auto | Paging::Four => Levels::Four,
    };
    Ok(Mode { levels, gibibyte_pages: cpu::has_gibibyte_pages(), encryption: cpu::memory_encryption() })
}

/// Makes the tables with this root and this many levels the address space.
///
/// # Safety
/// They map the running code, its data and its stack where they are now. With five levels, moreover: root, code, stack
/// and the tables that are in use are mapped at their physical addresses below 4 GiB, interrupts are disabled, and this
/// is the boot CPU on the boot code's four levels.
pub unsafe fn load(root: PhysAddr, levels: Levels) {
    match levels {
        Levels::Four => {
            let frame = PhysFrame::containing_address(x86_64::PhysAddr::new(root.as_u64()));
            // SAFETY: the caller answers for what the tables map.
            unsafe { Cr3::write(frame, Cr3Flags::empty()) };
        }
        // SAFETY: the function keeps what the ABI says it keeps; the caller answers for the rest.
        Levels::Five => unsafe {
            asm!("call {}", sym switch_to_five_levels, in("rdi") root.as_u64(), clobber_abi("C"));
        },
    }
}

/// The bits of CR4 that a CPU needs before it can use the page tables that are in use here.
pub(in crate::arch) fn level_bits() -> u64 {
    (Cr4::read() & Cr4Flags::L5_PAGING).bits()
}

unsafe extern "C" {
    fn switch_to_five_levels();
}

global_asm!(
    r#"
    .section .rodata.paging, "a", @progbits
    .balign 8
    // Null, 64-bit code, 32-bit code.
    switch_gdt:
        .quad 0
        .quad 0x00af9a000000ffff
        .quad 0x00cf9a000000ffff
    switch_gdt_pointer:
        .word switch_gdt_pointer - switch_gdt - 1
        .quad switch_gdt

    .section .text.paging, "ax", @progbits
    .code64
    .global switch_to_five_levels
    switch_to_five_levels:
        // Without paging in between, registers lose what 32-bit code cannot name; the stack pointer's upper half is
        // zero.
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        subq $16, %rsp
        sgdtq (%rsp)
        movl %cs, %esi
        lgdtq switch_gdt_pointer(%rip)
        pushq $16
        leaq 1f(%rip), %rax
        pushq %rax
        lretq
    .code32
        // No memory is touched, so the data segments, which are null, do not matter.
    1:  movl %cr0, %eax
        andl $0x7fffffff, %eax
        movl %eax, %cr0
        movl %cr4, %eax
        orl $0x1000, %eax
        movl %eax, %cr4
        movl %edi, %cr3
        // IA32_EFER.LME is still set, so turning paging on leads back to long mode.
        movl %cr0, %eax
        orl $0x80000000, %eax
        movl %eax, %cr0
        ljmpl $8, $2f
    .code64
    2:  movl %esp, %esp
        movl %esi, %esi
        pushq %rsi
        leaq 3f(%rip), %rax
        pushq %rax
        lgdtq 16(%rsp)
        lretq
    3:  addq $16, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        retq
    .text
    "#,
    options(att_syntax)
);
