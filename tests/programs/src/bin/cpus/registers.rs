//! Holding values in all registers that a thread has, while others take it from CPU to CPU.

use std::arch::{asm, naked_asm};
use std::mem::offset_of;
use std::sync::atomic::AtomicU32;

/// What a thread keeps in registers.
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    ymm: [[u64; 4]; 16],
    /// RAX, RBX, RBP, R8 to R15.
    general: [u64; 11],
    x87_value: i64,
    fs_base: u64,
    mxcsr: u32,
    x87_control: u32,
}

impl Registers {
    /// Values that no other seed gives, for the running thread.
    pub(crate) fn of(seed: u64) -> Self {
        let mut state = seed + 1;
        let mut next = || {
            state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
            state
        };
        let fs_base;
        // SAFETY: FSGSBASE is enabled, and reading changes nothing.
        unsafe { asm!("rdfsbase {}", out(reg) fs_base, options(nomem, nostack, preserves_flags)) };
        Self {
            ymm: [(); 16].map(|()| [next(), next(), next(), next()]),
            general: [(); 11].map(|()| next()),
            x87_value: next() as i64 >> 1,
            fs_base,
            // All exceptions masked; rounding (bits 14:13), flush to zero (15) and denormals as zero (6) by the seed.
            mxcsr: 0x1f80 | (seed as u32 & 3) << 13 | (seed as u32 >> 2 & 1) << 15 | (seed as u32 >> 3 & 1) << 6,
            // All exceptions masked, 64 bits; rounding (bits 11:10) by the seed.
            x87_control: 0x037f | (seed as u32 >> 1 & 3) << 10,
        }
    }

    /// Holds the values until `gate` is not `seen` any more; what the registers have then.
    pub(crate) fn hold(&self, gate: &AtomicU32, seen: u32) -> Self {
        let mut after = Self::default();
        // SAFETY: the pointers are to what the function expects; it keeps what a call keeps.
        unsafe { hold(self, &mut after, gate.as_ptr(), seen) };
        after
    }
}

/// Loads all registers from `values`, waits until the word at `gate` is not `seen`, and stores them to `after`.
///
/// # Safety
/// The pointers are valid, and the CPU has AVX.
#[unsafe(naked)]
unsafe extern "C" fn hold(values: *const Registers, after: *mut Registers, gate: *const u32, seen: u32) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "ldmxcsr [rdi + {mxcsr}]",
        "fldcw [rdi + {x87_control}]",
        "fild qword ptr [rdi + {x87_value}]",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vmovdqu ymm\\n, [rdi + {ymm} + 32 * \\n]",
        ".endr",
        "mov rax, [rdi + {general}]",
        "mov rbx, [rdi + {general} + 8]",
        "mov rbp, [rdi + {general} + 16]",
        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
        "mov r\\n, [rdi + {general} + 24 + 8 * (\\n - 8)]",
        ".endr",
        "2: cmp [rdx], ecx",
        "je 2b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vmovdqu [rsi + {ymm} + 32 * \\n], ymm\\n",
        ".endr",
        "mov [rsi + {general}], rax",
        "mov [rsi + {general} + 8], rbx",
        "mov [rsi + {general} + 16], rbp",
        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
        "mov [rsi + {general} + 24 + 8 * (\\n - 8)], r\\n",
        ".endr",
        "fistp qword ptr [rsi + {x87_value}]",
        "fnstcw [rsi + {x87_control}]",
        "stmxcsr [rsi + {mxcsr}]",
        "rdfsbase rax",
        "mov [rsi + {fs_base}], rax",
        "vzeroupper",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        ymm = const offset_of!(Registers, ymm),
        general = const offset_of!(Registers, general),
        x87_value = const offset_of!(Registers, x87_value),
        fs_base = const offset_of!(Registers, fs_base),
        mxcsr = const offset_of!(Registers, mxcsr),
        x87_control = const offset_of!(Registers, x87_control),
    )
}

/// Sets the two control registers that live on through function calls, to what these values have.
pub(crate) fn set_control(values: &Registers) {
    // SAFETY: all exceptions stay masked; the caller computes with no floating-point numbers until it sets them back.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &raw const values.mxcsr, options(readonly, nostack));
        asm!("fldcw [{}]", in(reg) &raw const values.x87_control, options(readonly, nostack));
    }
}

/// Fails unless the two control registers have what [`set_control`] set.
pub(crate) fn expect_control(values: &Registers) {
    let (mut mxcsr, mut x87_control) = (0u32, 0u32);
    // SAFETY: both stores go to these two words.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack));
        asm!("fnstcw [{}]", in(reg) &raw mut x87_control, options(nostack));
    }
    assert_eq!((mxcsr, x87_control), (values.mxcsr, values.x87_control));
}
