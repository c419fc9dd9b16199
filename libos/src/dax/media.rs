//! Media errors: ranges of persistent memory that a machine check has reported as unreadable.
//!
//! Owns: the list of those ranges, of all devices, since boot. Whoever loads from a device asks it first. Never: what
//! was stored there, nor remembering it beyond the end of the machine (that is for the owner of the data).
//!
//! The list grows inside the handler of a machine check, which may have interrupted anything: it takes no lock and
//! allocates nothing.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::addr::{AddrRange, PhysAddr};

/// How many ranges are kept. With more than these, a device is to be replaced.
const MOST: usize = 256;

/// A list of physical ranges that only grows.
#[derive(Debug)]
pub struct BadRanges {
    slots: [Slot; MOST],
    /// Slots that somebody took. May be more than there are.
    taken: AtomicUsize,
    /// Slots whose ranges can be read.
    known: AtomicUsize,
}

/// A range; empty as long as whoever took the slot has not filled it.
#[derive(Debug)]
struct Slot {
    start: AtomicU64,
    end: AtomicU64,
}

impl Slot {
    fn range(&self) -> Range<PhysAddr> {
        // The end is stored last, so what is not empty is whole.
        let end = self.end.load(Ordering::Acquire);
        PhysAddr::new(self.start.load(Ordering::Relaxed))..PhysAddr::new(end)
    }
}

/// The list has no room for another range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl BadRanges {
    /// A list with nothing in it.
    #[allow(clippy::new_without_default, reason = "only statics and tests make one")]
    pub const fn new() -> Self {
        Self {
            slots: [const { Slot { start: AtomicU64::new(0), end: AtomicU64::new(0) } }; MOST],
            taken: AtomicUsize::new(0),
            known: AtomicUsize::new(0),
        }
    }

    /// Adds a range. Says whether it was news.
    pub fn add(&self, range: &Range<PhysAddr>) -> Result<bool, TooMany> {
        if self.iter().any(|known| known.covers(range)) {
            return Ok(false);
        }
        let slot = self.slots.get(self.taken.fetch_add(1, Ordering::Relaxed)).ok_or(TooMany)?;
        slot.start.store(range.start.as_u64(), Ordering::Relaxed);
        slot.end.store(range.end.as_u64(), Ordering::Release);
        self.known.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// How many ranges there are. Grows whenever there is news.
    pub fn count(&self) -> usize {
        self.known.load(Ordering::Acquire)
    }

    /// The ranges, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Range<PhysAddr>> {
        self.slots[..self.taken.load(Ordering::Acquire).min(MOST)]
            .iter()
            .map(Slot::range)
            .filter(|range| !range.is_empty())
    }

    /// The part of `range` that a bad range covers, the first that is met.
    pub fn within(&self, range: &Range<PhysAddr>) -> Option<Range<PhysAddr>> {
        if self.count() == 0 {
            return None;
        }
        self.iter().map(|bad| bad.start.max(range.start)..bad.end.min(range.end)).find(|covered| !covered.is_empty())
    }
}

/// The bad ranges of this machine.
#[cfg(target_os = "hermit")]
pub(super) static BAD: BadRanges = BadRanges::new();

/// Notes what a machine check has reported. The range is inside one device, or nothing is noted.
#[cfg(target_os = "hermit")]
pub(crate) fn report(range: &Range<PhysAddr>) -> Result<(), &'static str> {
    if !super::devices().iter().any(|device| device.physical_range().covers(range)) {
        return Err("it is not in persistent memory");
    }
    BAD.add(range).map(drop).map_err(|TooMany| "there are more bad ranges of persistent memory than can be kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Range<PhysAddr> {
        PhysAddr::new(start)..PhysAddr::new(end)
    }

    #[test]
    fn ranges_are_kept_once_and_found_by_any_byte() {
        let bad = BadRanges::new();
        assert_eq!((bad.count(), bad.within(&range(0, u64::MAX))), (0, None));
        assert_eq!(bad.add(&range(4096, 8192)), Ok(true));
        assert_eq!(bad.add(&range(4096, 8192)), Ok(false));
        assert_eq!(bad.add(&range(4160, 4224)), Ok(false));
        assert_eq!(bad.add(&range(64, 128)), Ok(true));
        assert_eq!(bad.count(), 2);
        assert_eq!(bad.within(&range(8000, 9000)), Some(range(8000, 8192)));
        assert_eq!(bad.within(&range(8192, 9000)), None);
        assert_eq!(bad.within(&range(0, 65)), Some(range(64, 65)));
        assert_eq!(bad.within(&range(100, 100)), None);
    }

    #[test]
    fn a_full_list_says_so() {
        let bad = BadRanges::new();
        for number in 0..MOST as u64 {
            assert_eq!(bad.add(&range(number * 64, number * 64 + 64)), Ok(true));
        }
        assert_eq!(bad.add(&range(1 << 40, (1 << 40) + 64)), Err(TooMany));
        assert_eq!(bad.add(&range(0, 64)), Ok(false));
        assert_eq!((bad.count(), bad.iter().count()), (MOST, MOST));
    }
}
