//! The first instructions: from PVH's 32-bit protected mode to Rust in long mode.
//!
//! The loader (QEMU's `-kernel`, or any other that knows PVH) finds the entry point in an ELF note, jumps there with
//! paging off and EBX = the physical address of the start info. We map the first GiB onto itself, which is enough until
//! `mm` has built the real tables, and call [`crate::start::start`].

use core::arch::global_asm;

/// The size of the stack on which the boot CPU starts and on which its idle loop stays, in bytes.
const BOOT_STACK_SIZE: usize = 64 << 10;

global_asm!(
    // The note: owner "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY), a 4-byte entry address.
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_start
    "#,
    r#"
    .section .bss.boot, "aw", @nobits
    .balign 4096
    boot_pml4: .skip 4096
    boot_pdpt: .skip 4096
    boot_pd:   .skip 4096
    .global boot_stack_guard_page
    boot_stack_guard_page: .skip 4096
    .skip {stack_size}
    boot_stack_top:

    .section .rodata.boot, "a", @progbits
    .balign 8
    boot_gdt:
        .quad 0
        .quad 0x00af9a000000ffff
        .quad 0x00cf92000000ffff
    boot_gdt_pointer:
        .word boot_gdt_pointer - boot_gdt - 1
        .long boot_gdt
    "#,
    r#"
    .section .text.boot, "ax", @progbits
    .code32
    .global pvh_start
    pvh_start:
        cli
        cld
        movl $boot_stack_top, %esp

        movl $boot_pdpt + 3, boot_pml4
        movl $boot_pd + 3, boot_pdpt
        xorl %ecx, %ecx
    1:  movl %ecx, %eax
        shll $21, %eax
        orl $0x83, %eax
        movl %eax, boot_pd(,%ecx,8)
        incl %ecx
        cmpl $512, %ecx
        jne 1b

        // CR4: PAE, OSFXSR, OSXMMEXCPT.
        movl %cr4, %eax
        orl $0x620, %eax
        movl %eax, %cr4
        movl $boot_pml4, %eax
        movl %eax, %cr3
        // IA32_EFER: LME, NXE.
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x900, %eax
        wrmsr
        // CR0: PG, WP, NE, MP, PE; not EM, not TS.
        movl %cr0, %eax
        andl $0xfffffff3, %eax
        orl $0x80010023, %eax
        movl %eax, %cr0

        lgdtl boot_gdt_pointer
        ljmpl $8, $boot_long_mode

    .code64
    boot_long_mode:
        movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movabsq $boot_stack_top, %rsp
        xorl %ebp, %ebp
        movl %ebx, %edi
        call {start}
        ud2
    .text
    "#,
    stack_size = const BOOT_STACK_SIZE,
    start = sym crate::start::start,
    options(att_syntax)
);
