//! The memory functions that compiled code calls by name: `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`, `strlen`.
//!
//! In assembly, since the compiler would turn a loop in Rust into a call to the function itself. SSE2 throughout:
//! string instructions have a high start-up cost for the sizes that programs copy most, and are slow under emulation.

use core::arch::global_asm;

use crate::addr::VirtAddr;

global_asm!(
    r#"
    .section .text.memory_functions, "ax", @progbits
    .global memory_functions_start
    memory_functions_start:

    // memcpy and memmove: RDI to, RSI from, RDX bytes; returns RDI. dax_copy is the same under a name that the compiler
    // does not know, so that it makes no assumption about it.
    .balign 16
    .global memcpy
    .global memmove
    .global dax_copy
    memcpy:
    memmove:
    dax_copy:
        mov rax, rdi
        cmp rdx, 16
        jb 20f
        cmp rdx, 32
        ja 10f
        movups xmm0, [rsi]
        movups xmm1, [rsi + rdx - 16]
        movups [rdi], xmm0
        movups [rdi + rdx - 16], xmm1
        ret
    10: cmp rdx, 128
        jbe 18f
        mov rcx, rdi
        sub rcx, rsi
        cmp rcx, rdx
        jb 15f
        // Forward: the last 16 bytes are read first and written last, so that the loops copy whole blocks only.
        movups xmm4, [rsi + rdx - 16]
        lea r8, [rdi + rdx - 16]
    .global copy_forward_start
    copy_forward_start:
        sub rdx, 16
    11: cmp rdx, 64
        jb 13f
    12: movups xmm0, [rsi]
        movups xmm1, [rsi + 16]
        movups xmm2, [rsi + 32]
        movups xmm3, [rsi + 48]
        movups [rdi], xmm0
        movups [rdi + 16], xmm1
        movups [rdi + 32], xmm2
        movups [rdi + 48], xmm3
        add rsi, 64
        add rdi, 64
        sub rdx, 64
        cmp rdx, 64
        jae 12b
    13: cmp rdi, r8
        jae 14f
        movups xmm0, [rsi]
        movups [rdi], xmm0
        add rsi, 16
        add rdi, 16
        jmp 13b
    14: movups [r8], xmm4
        ret
    18: // Up to 128 bytes: all of them are read before any is written, so it does not matter how the two overlap.
        lea r8, [rdi + rdx - 16]
        movups xmm0, [rsi]
        movups xmm1, [rsi + 16]
        movups xmm2, [rsi + rdx - 32]
        movups xmm3, [rsi + rdx - 16]
        cmp rdx, 64
        ja 19f
        movups [rdi], xmm0
        movups [rdi + 16], xmm1
        movups [rdi + rdx - 32], xmm2
        movups [r8], xmm3
        ret
    19: movups xmm4, [rsi + 32]
        movups xmm5, [rsi + 48]
        movups xmm6, [rsi + rdx - 64]
        movups xmm7, [rsi + rdx - 48]
        movups [rdi], xmm0
        movups [rdi + 16], xmm1
        movups [rdi + 32], xmm4
        movups [rdi + 48], xmm5
        movups [rdi + rdx - 64], xmm6
        movups [rdi + rdx - 48], xmm7
        movups [rdi + rdx - 32], xmm2
        movups [r8], xmm3
    .global copy_forward_end
    copy_forward_end:
        ret
    15: // Backward, for a target that overlaps the source from above: the first 16 bytes are read first, written last.
        movups xmm4, [rsi]
        mov r8, rdi
    16: cmp rdx, 16
        jbe 17f
        movups xmm0, [rsi + rdx - 16]
        movups [rdi + rdx - 16], xmm0
        sub rdx, 16
        jmp 16b
    17: movups [r8], xmm4
        ret
    20: cmp rdx, 8
        jb 21f
        mov rcx, [rsi]
        mov r8, [rsi + rdx - 8]
        mov [rdi], rcx
        mov [rdi + rdx - 8], r8
        ret
    21: cmp rdx, 4
        jb 22f
        mov ecx, [rsi]
        mov r8d, [rsi + rdx - 4]
        mov [rdi], ecx
        mov [rdi + rdx - 4], r8d
        ret
    22: test rdx, rdx
        jz 23f
        mov r9, rdx
        shr r9, 1
        movzx ecx, byte ptr [rsi]
        movzx r8d, byte ptr [rsi + rdx - 1]
        movzx r10d, byte ptr [rsi + r9]
        mov [rdi], cl
        mov [rdi + r9], r10b
        mov [rdi + rdx - 1], r8b
    23: ret

    // memset: RDI to, SIL the byte, RDX bytes; returns RDI.
    .balign 16
    .global memset
    .global dax_fill
    memset:
    dax_fill:
        mov rax, rdi
        movzx ecx, sil
        mov r8, 0x0101010101010101
        imul rcx, r8
        cmp rdx, 16
        jb 33f
        movq xmm0, rcx
        punpcklqdq xmm0, xmm0
        lea r8, [rdi + rdx - 16]
    .global fill_start
    fill_start:
    30: cmp rdx, 64
        jb 31f
        movups [rdi], xmm0
        movups [rdi + 16], xmm0
        movups [rdi + 32], xmm0
        movups [rdi + 48], xmm0
        add rdi, 64
        sub rdx, 64
        jmp 30b
    31: cmp rdi, r8
        jae 32f
        movups [rdi], xmm0
        add rdi, 16
        jmp 31b
    32: movups [r8], xmm0
    .global fill_end
    fill_end:
        ret
    33: cmp rdx, 8
        jb 34f
        mov [rdi], rcx
        mov [rdi + rdx - 8], rcx
        ret
    34: cmp rdx, 4
        jb 35f
        mov [rdi], ecx
        mov [rdi + rdx - 4], ecx
        ret
    35: test rdx, rdx
        jz 36f
        mov [rdi], cl
        mov [rdi + rdx - 1], cl
        shr rdx, 1
        mov [rdi + rdx], cl
    36: ret

    // memcmp and bcmp: RDI and RSI, RDX bytes; returns the difference of the first bytes that differ.
    .balign 16
    .global memcmp
    .global bcmp
    memcmp:
    bcmp:
        xor ecx, ecx
    40: lea r8, [rcx + 16]
        cmp r8, rdx
        ja 42f
        movups xmm0, [rdi + rcx]
        movups xmm1, [rsi + rcx]
        pcmpeqb xmm0, xmm1
        pmovmskb eax, xmm0
        xor eax, 0xffff
        jnz 41f
        mov rcx, r8
        jmp 40b
    41: bsf eax, eax
        add rcx, rax
        movzx eax, byte ptr [rdi + rcx]
        movzx edx, byte ptr [rsi + rcx]
        sub eax, edx
        ret
    42: cmp rcx, rdx
        jae 43f
        movzx eax, byte ptr [rdi + rcx]
        movzx r8d, byte ptr [rsi + rcx]
        inc rcx
        sub eax, r8d
        jz 42b
        ret
    43: xor eax, eax
        ret

    // strlen: RDI a C string; returns its length.
    .balign 16
    .global strlen
    strlen:
        xor eax, eax
    50: cmp byte ptr [rdi + rax], 0
        je 51f
        inc rax
        jmp 50b
    51: ret
    .global memory_functions_end
    memory_functions_end:
    .text
    "#
);

unsafe extern "C" {
    static memory_functions_start: u8;
    static memory_functions_end: u8;
    static copy_forward_start: u8;
    static copy_forward_end: u8;
    static fill_start: u8;
    static fill_end: u8;
}

/// Whether the address is in one of these functions. They push nothing, so there the stack pointer is at the return
/// address, and the frame pointer is the caller's.
pub(in crate::arch) fn contain(address: VirtAddr) -> bool {
    is_between(&raw const memory_functions_start, &raw const memory_functions_end, address)
}

/// Whether the address is where more than 32 bytes are copied forward, or 16 and more are filled. There R8 is the
/// address of the target's last 16 bytes, RDI and RSI are how far it has come.
pub(in crate::arch) fn is_in_long_copy_or_fill(address: VirtAddr) -> bool {
    is_between(&raw const copy_forward_start, &raw const copy_forward_end, address)
        || is_between(&raw const fill_start, &raw const fill_end, address)
}

fn is_between(start: *const u8, end: *const u8, address: VirtAddr) -> bool {
    (VirtAddr::from_ptr(start)..VirtAddr::from_ptr(end)).contains(&address)
}
