//! Moving bytes to and from persistent memory, writing cache lines back, and ordering stores.
//!
//! All of it is assembly that the compiler cannot see into: it moves neither these accesses nor anything else across
//! the register writes that open and close a key, and it knows no reference into persistent memory that it could read
//! early.

use core::arch::asm;
use core::fmt;

use crate::addr::{AddrRange, VirtAddr};

/// The size of a cache line in bytes, the unit of write-back.
const CACHE_LINE: u64 = 64;
/// Words of eight bytes in a cache line.
const LINE_WORDS: usize = CACHE_LINE as usize / 8;

/// What makes a stored cache line reach the persistence domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBack {
    /// Writes back, may keep the line cached; weakly ordered.
    Clwb,
    /// Writes back and evicts; weakly ordered.
    ClflushOpt,
    /// Writes back and evicts; ordered with other stores.
    Clflush,
    /// Nothing: the caches are in the persistence domain, for the platform flushes them when power fails (eADR).
    Unneeded,
}

impl fmt::Display for WriteBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clwb => "clwb",
            Self::ClflushOpt => "clflushopt",
            Self::Clflush => "clflush",
            Self::Unneeded => "eADR (the platform flushes caches: no write-backs)",
        })
    }
}

unsafe extern "C" {
    fn dax_copy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    fn dax_fill(to: *mut u8, byte: i32, bytes: usize) -> *mut u8;
}

/// Copies `bytes` bytes; one of the two sides is persistent memory. `false` if a machine check has cut it short: any
/// part of the target may be as it was.
///
/// # Safety
/// `from` is readable and `to` writable for `bytes` bytes, under the running context's rights too.
#[must_use]
pub unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize) -> bool {
    // SAFETY: the caller's; the function is in `memory_functions` and does no more than that.
    let end = unsafe { dax_copy(to, from, bytes) };
    !end.is_null()
}

/// Sets `bytes` bytes of persistent memory to `byte`.
///
/// # Safety
/// `to` is writable for `bytes` bytes, under the running context's rights too.
pub unsafe fn fill(to: *mut u8, byte: u8, bytes: usize) {
    // SAFETY: the caller's; the function is in `memory_functions` and does no more than that.
    unsafe { dax_fill(to, i32::from(byte), bytes) };
}

/// Stores `words` words of eight bytes past the caches (MOVNTI); durable after the next [`fence`], without a
/// write-back.
///
/// # Safety
/// `from` is readable and `to` writable for that long, under the running context's rights too, and `to` is a multiple
/// of eight.
pub unsafe fn stream(to: *mut u64, from: *const u8, words: usize) {
    let lines = words / LINE_WORDS;
    for line in 0..lines {
        // SAFETY: the caller's.
        unsafe {
            let [a, b, c, d, e, f, g, h] = from.cast::<[u64; LINE_WORDS]>().add(line).read_unaligned();
            asm!(
                "movnti [{to}], {a}",
                "movnti [{to} + 8], {b}",
                "movnti [{to} + 16], {c}",
                "movnti [{to} + 24], {d}",
                "movnti [{to} + 32], {e}",
                "movnti [{to} + 40], {f}",
                "movnti [{to} + 48], {g}",
                "movnti [{to} + 56], {h}",
                to = in(reg) to.add(line * LINE_WORDS),
                a = in(reg) a,
                b = in(reg) b,
                c = in(reg) c,
                d = in(reg) d,
                e = in(reg) e,
                f = in(reg) f,
                g = in(reg) g,
                h = in(reg) h,
                options(nostack, preserves_flags),
            );
        }
    }
    for word in lines * LINE_WORDS..words {
        // SAFETY: the caller's.
        unsafe {
            let value = from.cast::<u64>().add(word).read_unaligned();
            asm!("movnti [{to}], {value}", to = in(reg) to.add(word), value = in(reg) value, options(nostack, preserves_flags));
        }
    }
}

/// Writes the cache lines of `start..end` back, unless the platform does; durable after the next [`fence`]. Returns how
/// many lines were written back.
///
/// # Safety
/// The range is mapped, and readable under the running context's rights: a write-back is checked like a load.
pub unsafe fn write_back(instruction: WriteBack, start: VirtAddr, end: VirtAddr) -> u64 {
    if instruction == WriteBack::Unneeded {
        return 0;
    }
    let first = start.align_down(CACHE_LINE);
    let lines = (first..end).length().div_ceil(CACHE_LINE);
    for line in 0..lines {
        let at = (first + line * CACHE_LINE).as_u64();
        // SAFETY: the caller says that the line may be read; the CPU has the instruction
        // (`cpu::write_back_instruction`).
        unsafe {
            match instruction {
                WriteBack::Clwb => asm!("clwb [{}]", in(reg) at, options(nostack, preserves_flags)),
                WriteBack::ClflushOpt => asm!("clflushopt [{}]", in(reg) at, options(nostack, preserves_flags)),
                WriteBack::Clflush => asm!("clflush [{}]", in(reg) at, options(nostack, preserves_flags)),
                WriteBack::Unneeded => {}
            }
        }
    }
    lines
}

/// Waits until every store and write-back before it has reached the persistence domain (SFENCE).
pub fn fence() {
    // SAFETY: SFENCE touches no memory and exists since SSE.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}
