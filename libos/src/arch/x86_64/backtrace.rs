//! Return addresses of the callers, found by frame pointers.

use core::arch::asm;

use crate::mm;

/// The most frames that a backtrace shows.
const MAX_DEPTH: usize = 48;

/// The return addresses above the frame record at `rbp`, innermost first. Stops at anything that is not a readable record
/// further up the stack.
pub fn from_frame_pointer(rbp: u64) -> impl Iterator<Item = u64> {
    let mut rbp = rbp;
    core::iter::from_fn(move || {
        let readable = rbp != 0 && rbp.is_multiple_of(8) && mm::is_mapped(rbp) && mm::is_mapped(rbp + 15);
        if !readable {
            return None;
        }
        // SAFETY: the 16 bytes are mapped and not persistent memory; a wrong record yields a wrong number, no more.
        let [next, return_address] = unsafe { (rbp as *const [u64; 2]).read_volatile() };
        rbp = if next > rbp { next } else { 0 };
        mm::layout::in_text(return_address).then_some(return_address)
    })
    .take(MAX_DEPTH)
}

/// The frame pointer of the calling function.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
