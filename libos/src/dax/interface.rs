//! A device as a medium: the interface that programs, and the pool in them, are written against.

use alloc::vec::Vec;
use core::ops::Range;

use pmem_medium::{Counters, Gone, Medium, WriteError, WriteProtectError};

use super::device::Device;
use super::grant::{ReadGrant, WriteGrant};
use super::media;

impl Medium for Device {
    type Reader<'g> = &'g ReadGrant<'g>;
    type Writer<'g> = &'g WriteGrant<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        reader
    }

    fn len(&self) -> u64 {
        self.len()
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only()
    }

    // Inlined so that a fault report, which names who took the last grants, names their callers.
    #[inline(always)]
    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        Ok(self.read_lock()?.read(|grant| f(grant)))
    }

    #[inline(always)]
    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        self.read_lock()?.write(|grant| f(grant))
    }

    /// Large pages that reach over an end of the range are split. Stores that other threads make meanwhile may be
    /// before or after the change. It waits for the other CPUs, so it is called with interrupts enabled and without a
    /// spinlock.
    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        self.protect(range, writable)
    }

    /// Counts those of all devices: when it has grown, [`Self::bad_ranges`] may have news.
    fn media_errors(&self) -> usize {
        media::BAD.count()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        self.unreadable_ranges().collect()
    }

    fn counters(&self) -> Counters {
        self.counters.snapshot()
    }
}
