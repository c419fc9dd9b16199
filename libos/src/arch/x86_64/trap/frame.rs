//! What a trap leaves of the context that it interrupted.

use core::fmt;

use libos_contract::report::Registers;

use super::single_step;
use crate::addr::VirtAddr;
use crate::arch::x86_64::format::exception::Exception;
use crate::arch::x86_64::format::page_fault::PageFault;
use crate::arch::x86_64::machine::percpu;
use crate::keys::Rights;

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
    /// [`crate::arch::key_rights`]'s.
    pub(in crate::arch) pkrs: u64,
    /// General registers in the order R15 to R8, RBP, RDI, RSI, RDX, RCX, RBX, RAX.
    pub(in crate::arch) general: [u64; 15],
    /// The vector's number.
    pub(in crate::arch) vector: u64,
    /// The error code; 0 for vectors without one.
    pub(in crate::arch) error_code: u64,
    /// The interrupted instruction's address.
    pub(in crate::arch) rip: VirtAddr,
    /// The code segment's selector.
    pub(in crate::arch) cs: u64,
    /// The flags.
    pub(in crate::arch) rflags: u64,
    /// The stack pointer.
    pub(in crate::arch) rsp: VirtAddr,
    /// The stack segment's selector.
    pub(in crate::arch) ss: u64,
}

/// Places in [`TrapFrame::general`].
const RBP: usize = 8;
const RAX: usize = 14;

/// RFLAGS.IF, and the bit that is always set.
const INTERRUPT_FLAG: u64 = 1 << 9;
const RESERVED_FLAG: u64 = 1 << 1;

impl TrapFrame {
    /// The address of the interrupted instruction.
    pub(crate) fn instruction(&self) -> VirtAddr {
        self.rip
    }

    /// The interrupted context's stack pointer.
    pub(crate) fn stack_pointer(&self) -> VirtAddr {
        self.rsp
    }

    /// Which exception this is.
    pub(crate) fn exception(&self) -> Exception {
        Exception::of(self.vector)
    }

    /// What this page fault, at an address, says.
    pub(crate) fn page_fault(&self, address: VirtAddr) -> PageFault {
        PageFault::new(address, self.error_code)
    }

    /// The interrupted context's frame pointer.
    pub(super) fn rbp(&self) -> VirtAddr {
        VirtAddr::new(self.general[RBP])
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
        self.rflags & INTERRUPT_FLAG != 0 && self.is_in_thread()
    }

    /// Whether this is a thread, wherever it was interrupted: nothing but this trap is being handled.
    pub(crate) fn is_in_thread(&self) -> bool {
        percpu::trap_depth() == 1
    }

    /// Makes the interrupted thread go on with `function`, on its own stack below what it has used, with closed rights.
    pub(crate) fn divert(&mut self, function: extern "C" fn() -> !) {
        single_step::forget();
        self.set_rights(Rights::CLOSED);
        self.rip = VirtAddr::new(function as usize as u64);
        // As after a call: the return address's place, then a multiple of 16.
        self.rsp = self.rsp.align_down(16) - 8;
        self.general[RBP] = 0;
        self.rflags = INTERRUPT_FLAG | RESERVED_FLAG;
    }

    /// Makes the interrupted function, which has pushed nothing, return `value` to its caller.
    pub(super) fn return_early(&mut self, value: u64) {
        // SAFETY: the stack pointer of a function that has pushed nothing is at its return address, on the stack of a
        // context that this trap interrupted and that does not run meanwhile.
        self.rip = unsafe { self.rsp.as_ptr::<VirtAddr>().read() };
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
        let [r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax] = self.general;
        let registers = Registers {
            rip: self.rip.as_u64(),
            rsp: self.rsp.as_u64(),
            rflags: self.rflags,
            error_code: self.error_code,
            general: [rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15],
        };
        registers.fmt(f)
    }
}
