//! How much an interrupted instruction or copy has left to do, from its registers.

use libos_contract::report::left_to_repeat;

use super::frame::TrapFrame;
use crate::addr::VirtAddr;
use crate::arch::x86_64::machine::memory_functions;
use crate::mm;

/// How many bytes from `address` on, where the access was denied, the interrupted context was about to read or write:
/// known for repeated string instructions, and for the copy and fill functions.
pub(crate) fn remaining(frame: &TrapFrame, address: VirtAddr, write: bool) -> Option<u64> {
    let (code, length) = code(frame);
    left_to_repeat(&code[..length], frame.rcx()).or_else(|| remaining_of_large(frame, address, write))
}

/// How many bytes from `address` on a large copy or fill that was interrupted there has left; `None` elsewhere.
fn remaining_of_large(frame: &TrapFrame, address: VirtAddr, write: bool) -> Option<u64> {
    if !memory_functions::is_in_long_copy_or_fill(frame.rip) {
        return None;
    }
    let address = address.as_u64();
    let target_end = frame.r8().checked_add(16)?;
    if write {
        target_end.checked_sub(address)
    } else {
        target_end.checked_sub(frame.rdi())?.checked_sub(address.checked_sub(frame.rsi())?)
    }
}

/// Leaves a copy from persistent memory that was interrupted: the function returns 0 instead of its target. Says
/// whether the interrupted context was in one; `is_persistent` tells the addresses.
pub(super) fn leave_copy(frame: &mut TrapFrame, is_persistent: impl Fn(VirtAddr) -> bool) -> bool {
    // RSI is the source, or how far the copy has come in it: at most its end.
    let source = VirtAddr::new(frame.rsi());
    let copies =
        memory_functions::contain(frame.rip) && (is_persistent(source) || is_persistent(source.wrapping_sub(1)));
    if copies {
        frame.return_early(0);
    }
    copies
}

/// The bytes of the interrupted instruction and what follows it, as far as they can be read: no instruction is longer.
pub(crate) fn code(frame: &TrapFrame) -> ([u8; 15], usize) {
    let mut code = [0; 15];
    let mut length = 0;
    while length < code.len() {
        let at = frame.rip.wrapping_add(length as u64);
        if !mm::is_mapped(at) {
            break;
        }
        // SAFETY: the byte is mapped and not persistent memory; it is only read.
        code[length] = unsafe { at.as_ptr::<u8>().read_volatile() };
        length += 1;
    }
    (code, length)
}
