//! The processor's caches: writing lines back to persistent memory, and waiting for it (Intel SDM volume 1,
//! section 11.4.4; volume 2 for each instruction).

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::ops::Range;

use pmem_medium::{LINE, lines_touched};

/// What writes a cache line back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteBack {
    /// Writes back, may keep the line cached; weakly ordered.
    Clwb,
    /// Writes back and evicts; weakly ordered.
    ClflushOpt,
    /// Writes back and evicts; ordered with other stores.
    Clflush,
}

impl WriteBack {
    /// The best that this CPU has.
    #[allow(
        unused_unsafe,
        reason = "asking for CPUID is safe only in younger versions of Rust than the oldest we build with"
    )]
    pub(crate) fn of_this_cpu() -> Option<Self> {
        const FEATURES: u32 = 7;
        // SAFETY: every CPU of this architecture has the instruction.
        let features = unsafe { if __get_cpuid_max(0).0 < FEATURES { 0 } else { __cpuid_count(FEATURES, 0).ebx } };
        Some(Self::best(features))
    }

    /// The best by CPUID leaf 7, register EBX. CLFLUSH is older than the architecture.
    fn best(features: u32) -> Self {
        const CLFLUSHOPT: u32 = 1 << 23;
        const CLWB: u32 = 1 << 24;
        match features {
            _ if features & CLWB != 0 => Self::Clwb,
            _ if features & CLFLUSHOPT != 0 => Self::ClflushOpt,
            _ => Self::Clflush,
        }
    }
}

/// Starts writing back the cache lines that a range of the bytes from `start` on touches; how many. They have arrived
/// when the next [`fence`] has returned.
///
/// # Safety
/// The range is mapped from `start` on, which is the beginning of a cache line, and this thread may read it.
pub(crate) unsafe fn write_back(by: WriteBack, start: *const u8, range: &Range<u64>) -> u64 {
    let lines = lines_touched(range);
    let first = range.start / LINE;
    for line in first..first + lines {
        // SAFETY: the line is in the range, or has a byte that is; the CPU has the instruction, or it was not chosen.
        unsafe {
            let line = start.add((line * LINE) as usize);
            match by {
                WriteBack::Clwb => asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags)),
                WriteBack::ClflushOpt => asm!("clflushopt [{}]", in(reg) line, options(nostack, preserves_flags)),
                WriteBack::Clflush => asm!("clflush [{}]", in(reg) line, options(nostack, preserves_flags)),
            }
        }
    }
    lines
}

/// Returns when all stores and write-backs before it have come to the persistence domain.
pub(crate) fn fence() {
    // SAFETY: it touches no memory, and every CPU of this architecture has it.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_instruction_is_the_one_that_keeps_lines_cached() {
        assert_eq!(WriteBack::best(0), WriteBack::Clflush);
        assert_eq!(WriteBack::best(1 << 23), WriteBack::ClflushOpt);
        assert_eq!(WriteBack::best(1 << 24), WriteBack::Clwb);
        assert_eq!(WriteBack::best(u32::MAX), WriteBack::Clwb);
    }
}
