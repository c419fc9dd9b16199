//! What a signal left of the context that it interrupted: the frame on the stack from which `sigreturn(2)` restores it.

use core::arch::x86_64::__cpuid_count;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, siginfo_t, ucontext_t};
use libos_contract::report::Registers;
use libos_contract::rights::Rights;

/// RFLAGS.TF: a debug exception after each instruction.
const TRAP_FLAG: i64 = 1 << 8;

/// The vector of page faults, and bits of their error code (SDM volume 3A, section 4.7).
const PAGE_FAULT: u64 = 14;
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;

/// PKRU's number among the state components of XSAVE (SDM volume 1, section 13.1).
const PKRU: u32 = 9;
/// Where XSTATE_BV is in an XSAVE area: which components are there, the others being in their initial state.
const XSTATE_BV: usize = 512;
/// Where Linux describes, in bytes that FXSAVE leaves to software, the XSAVE area of a signal frame:
/// `struct _fpx_sw_bytes`.
const SOFTWARE: usize = 464;
/// Its first word where there is one: `FP_XSTATE_MAGIC1`.
const MAGIC: u32 = 0x4650_5853;

/// Where PKRU is in an XSAVE area; 0 on a CPU without it, and before [`prepare`].
static PKRU_PLACE: AtomicU32 = AtomicU32::new(0);

/// Asks the CPU where PKRU is in a signal frame.
#[allow(
    unused_unsafe,
    reason = "asking for CPUID is safe only in younger versions of Rust than the oldest we build with"
)]
pub(super) fn prepare() {
    // Signal frames have the standard format, not the compacted one, so the offset is CPUID's.
    // SAFETY: every CPU of this architecture has the instruction.
    let place = unsafe { __cpuid_count(0xd, PKRU) };
    PKRU_PLACE.store(if place.eax >= 4 { place.ebx } else { 0 }, Ordering::Relaxed);
}

/// The frame of one signal.
pub(super) struct Frame<'f> {
    info: &'f siginfo_t,
    context: &'f mut ucontext_t,
}

impl<'f> Frame<'f> {
    /// The frame from what a handler is given.
    ///
    /// # Safety
    /// They are the arguments of a handler that was installed with SA_SIGINFO and has not returned.
    pub(super) unsafe fn new(info: *mut siginfo_t, context: *mut c_void) -> Self {
        // SAFETY: the kernel has put both on the stack, for the handler to use as it likes until it returns.
        unsafe { Self { info: &*info, context: &mut *context.cast() } }
    }

    fn register(&self, which: c_int) -> u64 {
        self.context.uc_mcontext.gregs[which as usize].cast_unsigned()
    }

    /// What the kernel says of the signal.
    pub(super) fn info(&self) -> &siginfo_t {
        self.info
    }

    /// Whether an access of this thread's brought the signal, rather than somebody who sent it.
    pub(super) fn is_of_an_access(&self) -> bool {
        self.info.si_code > 0 && self.register(libc::REG_TRAPNO) == PAGE_FAULT
    }

    /// Whether the kernel has found a reason for the signal, rather than somebody who sent it.
    pub(super) fn is_of_the_kernel(&self) -> bool {
        self.info.si_code > 0
    }

    /// Whether it is the debug exception that follows an instruction.
    pub(super) fn is_of_a_step(&self) -> bool {
        self.info.si_code == libc::TRAP_TRACE
    }

    /// The address that could not be touched.
    pub(super) fn address(&self) -> u64 {
        // SAFETY: of the signals for which this is called the kernel fills in the address.
        unsafe { self.info.si_addr() as u64 }
    }

    pub(super) fn is_write(&self) -> bool {
        self.register(libc::REG_ERR) & WRITE != 0
    }

    pub(super) fn is_jump(&self) -> bool {
        self.register(libc::REG_ERR) & FETCH != 0
    }

    pub(super) fn instruction(&self) -> u64 {
        self.register(libc::REG_RIP)
    }

    pub(super) fn stack_pointer(&self) -> u64 {
        self.register(libc::REG_RSP)
    }

    pub(super) fn count(&self) -> u64 {
        self.register(libc::REG_RCX)
    }

    /// The registers, as a report has them.
    pub(super) fn registers(&self) -> Registers {
        use libc::{
            REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
            REG_RDI, REG_RDX, REG_RSI,
        };
        let general = [
            REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
            REG_R13, REG_R14, REG_R15,
        ];
        Registers {
            rip: self.instruction(),
            rsp: self.stack_pointer(),
            rflags: self.register(libc::REG_EFL),
            error_code: self.register(libc::REG_ERR),
            general: general.map(|which| self.register(which)),
        }
    }

    /// Whether the signal interrupted a handler of another one, as far as that has its stack from `sigaltstack(2)`.
    pub(super) fn is_in_handler(&self) -> bool {
        let stack = &self.context.uc_stack;
        self.stack_pointer().checked_sub(stack.ss_sp as u64).is_some_and(|above| above < stack.ss_size as u64)
    }

    /// Where XSTATE_BV and PKRU are in the frame; `None` if the kernel saves no PKRU.
    fn pkru(&self) -> Option<(*mut u64, *mut u32)> {
        let area = self.context.uc_mcontext.fpregs.cast::<u8>();
        let place = PKRU_PLACE.load(Ordering::Relaxed) as usize;
        if area.is_null() || place == 0 {
            return None;
        }
        // SAFETY: a frame's FXSAVE area has 512 bytes, the last 48 of them Linux's own.
        let (magic, components, size) = unsafe {
            let software = area.add(SOFTWARE);
            (
                software.cast::<u32>().read_unaligned(),
                software.add(8).cast::<u64>().read_unaligned(),
                software.add(16).cast::<u32>().read_unaligned() as usize,
            )
        };
        if magic != MAGIC || components & 1 << PKRU == 0 || place + 4 > size {
            return None;
        }
        // SAFETY: Linux says that an XSAVE area of `size` bytes is there, and PKRU in it where CPUID says.
        unsafe { Some((area.add(XSTATE_BV).cast(), area.add(place).cast())) }
    }

    /// The interrupted context's rights; `None` where there are no keys.
    pub(super) fn rights(&self) -> Option<Rights> {
        let (present, pkru) = self.pkru()?;
        // SAFETY: `pkru` says that both are there.
        let (present, bits) = unsafe { (present.read_unaligned(), pkru.read_unaligned()) };
        // A component that is not there is in its initial state: all keys open.
        Some(Rights::from_bits(if present & 1 << PKRU == 0 { 0 } else { bits }))
    }

    /// Gives the interrupted context other rights, from when it goes on.
    pub(super) fn set_rights(&mut self, rights: Rights) {
        if let Some((present, pkru)) = self.pkru() {
            // SAFETY: `pkru` says that both are there, and the frame is the handler's to change.
            unsafe {
                present.write_unaligned(present.read_unaligned() | 1 << PKRU);
                pkru.write_unaligned(rights.bits());
            }
        }
    }

    /// Whether a debug exception follows the next instruction.
    pub(super) fn is_stepping(&self) -> bool {
        self.context.uc_mcontext.gregs[libc::REG_EFL as usize] & TRAP_FLAG != 0
    }

    /// Has a debug exception follow the next instruction, or not.
    pub(super) fn set_stepping(&mut self, steps: bool) {
        let flags = &mut self.context.uc_mcontext.gregs[libc::REG_EFL as usize];
        *flags = if steps { *flags | TRAP_FLAG } else { *flags & !TRAP_FLAG };
    }

    /// Whether the interrupted context keeps this signal waiting.
    pub(super) fn blocks(&self, signal: c_int) -> bool {
        // SAFETY: the set is the kernel's, and so is the signal's number.
        unsafe { libc::sigismember(&self.context.uc_sigmask, signal) == 1 }
    }

    /// Has the interrupted context keep this signal waiting, or not.
    pub(super) fn set_blocks(&mut self, signal: c_int, blocks: bool) {
        let set = &mut self.context.uc_sigmask;
        // SAFETY: as for `blocks`.
        unsafe {
            if blocks {
                libc::sigaddset(set, signal)
            } else {
                libc::sigdelset(set, signal)
            };
        }
    }
}
