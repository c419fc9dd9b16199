//! Moments of the machine's own clock, which never goes back. A span is a [`Duration`]; the wall clock has moments of
//! another type, [`UnixTime`](crate::unix_time::UnixTime).

use core::fmt;
use core::ops::Add;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libos_contract::report::Seconds;

/// A moment since the boot. It is no span, and no number:
///
/// ```compile_fail,E0308
/// # use libos::instant::Instant;
/// let deadline: Instant = core::time::Duration::from_secs(1);
/// ```
///
/// ```compile_fail,E0277
/// # use libos::instant::Instant;
/// let deadline = Instant::BOOT + 1_000_000_000;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// When time began.
    pub const BOOT: Self = Self(0);

    /// After every other moment: the deadline of what has none.
    pub const NEVER: Self = Self(u64::MAX);

    /// So many nanoseconds after the boot; the clock reaches over 584 years.
    #[inline]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// How many nanoseconds after the boot it is.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment that is a span later; [`Self::NEVER`] if that is beyond the clock.
    #[must_use]
    #[inline]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(span)))
    }

    /// How much later it is than `earlier`; no time if it is not.
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A span in nanoseconds; `u64::MAX` if it is longer.
#[inline]
const fn nanoseconds(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos() as u64)
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The moment that is a span later. The clock has to reach that far: what comes from outside is added by
    /// [`Instant::saturating_add`].
    #[inline]
    fn add(self, span: Duration) -> Self {
        Self(self.0 + nanoseconds(span))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Instant {
    /// In seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Seconds(self.0).fmt(f)
    }
}

/// An [`Instant`] that several CPUs read and write.
#[derive(Debug)]
#[repr(transparent)]
pub struct AtomicInstant(AtomicU64);

impl AtomicInstant {
    /// It, at this moment.
    pub const fn new(at: Instant) -> Self {
        Self(AtomicU64::new(at.0))
    }

    /// Reads it.
    #[inline]
    pub fn load(&self, ordering: Ordering) -> Instant {
        Instant(self.0.load(ordering))
    }

    /// Writes it.
    #[inline]
    pub fn store(&self, at: Instant, ordering: Ordering) {
        self.0.store(at.0, ordering);
    }

    /// Writes it; what it was.
    #[inline]
    pub fn swap(&self, at: Instant, ordering: Ordering) -> Instant {
        Instant(self.0.swap(at.0, ordering))
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn what_is_beyond_the_clock_never_comes() {
        assert_eq!(Instant::BOOT.saturating_add(Duration::MAX), Instant::NEVER);
        assert_eq!(Instant::NEVER.saturating_add(Duration::from_nanos(1)), Instant::NEVER);
        assert_eq!(Instant::BOOT.saturating_add(Duration::new(1, 2)), Instant::from_nanos(1_000_000_002));
    }

    #[test]
    fn spans_lie_between_moments() {
        let (early, late) = (Instant::from_nanos(5), Instant::from_nanos(5) + Duration::from_millis(3));
        assert_eq!(late.saturating_duration_since(early), Duration::from_millis(3));
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
    }

    #[test]
    fn a_moment_is_shown_in_seconds() {
        assert_eq!(format!("{}", Instant::from_nanos(12_000_000_345)), "12.000000345 s");
    }
}
