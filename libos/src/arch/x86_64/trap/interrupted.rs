//! How much an interrupted instruction or copy has left to do, from its registers.

use super::frame::TrapFrame;
use crate::addr::VirtAddr;
use crate::arch::x86_64::machine::memory_functions;
use crate::mm;

/// How many bytes from `address` on, where the access was denied, the interrupted context was about to read or write:
/// known for repeated string instructions, and for the copy and fill functions.
pub(crate) fn remaining(frame: &TrapFrame, address: VirtAddr, write: bool) -> Option<u64> {
    let (code, length) = code(frame);
    repeated(frame, &code[..length]).or_else(|| remaining_of_large(frame, address, write))
}

/// What REP MOVS or REP STOS has left (SDM volume 2, section 2.1: prefixes, REX, then the opcode).
fn repeated(frame: &TrapFrame, code: &[u8]) -> Option<u64> {
    let prefixes =
        code.iter().take_while(|byte| matches!(byte, 0xf2 | 0xf3 | 0x66 | 0x67 | 0x2e | 0x36 | 0x3e)).count();
    let (prefixes, rest) = code.split_at(prefixes);
    if !prefixes.iter().any(|byte| matches!(byte, 0xf2 | 0xf3)) {
        return None;
    }
    let (wide, opcode) = match rest {
        [rex @ 0x40..=0x4f, opcode, ..] => (rex & 8 != 0, opcode),
        [opcode, ..] => (false, opcode),
        [] => return None,
    };
    let size = match opcode {
        0xa4 | 0xaa => 1,
        0xa5 | 0xab if wide => 8,
        0xa5 | 0xab if prefixes.contains(&0x66) => 2,
        0xa5 | 0xab => 4,
        _ => return None,
    };
    frame.rcx().checked_mul(size)
}

/// How many bytes from `address` on a large copy or fill that was interrupted there has left; `None` elsewhere.
fn remaining_of_large(frame: &TrapFrame, address: VirtAddr, write: bool) -> Option<u64> {
    if !memory_functions::is_in_large_loop(frame.rip) {
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
