//! The processor's caches where nobody knows how lines are written back to persistent memory: all of it is left to the
//! kernel.

use std::ops::Range;

/// What writes a cache line back: nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "there is none")]
pub(crate) struct WriteBack(());

impl WriteBack {
    /// There is none.
    pub(crate) fn of_this_cpu() -> Option<Self> {
        None
    }
}

/// Never asked for.
///
/// # Safety
/// There is nothing to keep to.
pub(crate) unsafe fn write_back(_: WriteBack, _: *const u8, _: &Range<u64>) -> u64 {
    0
}

/// Never asked for.
pub(crate) fn fence() {}
