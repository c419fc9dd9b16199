//! Return addresses of the callers, found by frame pointers.

use core::arch::asm;

use super::frame::TrapFrame;
use crate::addr::VirtAddr;
use crate::arch::x86_64::machine::memory_functions;
use crate::mm;
use crate::mm::layout::STACK_STRIDE;

/// The most frames that a backtrace shows.
const MAX_DEPTH: usize = 48;

/// The interrupted instruction and the callers of its function, innermost first.
pub fn from_trap(frame: &TrapFrame) -> impl Iterator<Item = VirtAddr> {
    let leaf_caller = memory_functions::contain(frame.rip).then(|| read_words(frame.rsp)).flatten().map(|[at, _]| at);
    core::iter::once(frame.rip).chain(leaf_caller).chain(from_frame_pointer(frame.rbp()))
}

/// The return addresses above the frame record at `rbp`, innermost first. Stops at anything that is not a readable
/// record further up the stack or on another one.
pub fn from_frame_pointer(rbp: VirtAddr) -> impl Iterator<Item = VirtAddr> {
    let mut rbp = rbp;
    core::iter::from_fn(move || {
        let [next, return_address] = read_words(rbp)?;
        // Callers are further up, or on another stack: that of what the trap interrupted.
        rbp = if next > rbp || next.align_down(STACK_STRIDE) != rbp.align_down(STACK_STRIDE) {
            next
        } else {
            VirtAddr::ZERO
        };
        mm::layout::in_text(return_address).then_some(return_address)
    })
    .take(MAX_DEPTH)
}

/// Two words of the stack, taken for addresses; `None` if they cannot be read.
fn read_words(at: VirtAddr) -> Option<[VirtAddr; 2]> {
    let readable = at != VirtAddr::ZERO && at.is_aligned(8) && mm::is_mapped(at) && mm::is_mapped(at.checked_add(15)?);
    // SAFETY: the 16 bytes are mapped and not persistent memory; a wrong record yields a wrong number, no more.
    readable.then(|| unsafe { at.as_ptr::<[VirtAddr; 2]>().read_volatile() })
}

/// The frame pointer of the calling function.
#[inline(always)]
pub fn frame_pointer() -> VirtAddr {
    let rbp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    VirtAddr::new(rbp)
}

/// The address to which the calling function returns.
#[inline(always)]
pub(crate) fn return_address() -> VirtAddr {
    let address;
    // SAFETY: every function keeps a frame record (the build says so), with the return address above the caller's frame
    // pointer, on its own stack.
    unsafe { asm!("mov {}, [rbp + 8]", out(reg) address, options(readonly, nostack, preserves_flags)) };
    VirtAddr::new(address)
}
