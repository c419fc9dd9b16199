//! Moments of the wall clock, which can be set, and so go back: for dates only. What is waited for is an
//! [`Instant`](crate::instant::Instant).

use core::ops::Add;
use core::time::Duration;

/// A moment by Unix time: how long after 1970-01-01 00:00 UTC it is, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(i128);

impl UnixTime {
    /// So many seconds after the beginning of 1970.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds as i128 * 1_000_000_000)
    }

    /// So many nanoseconds after the beginning of 1970; before it, if they are negative.
    pub const fn from_nanos(nanoseconds: i128) -> Self {
        Self(nanoseconds)
    }

    /// How many nanoseconds after the beginning of 1970 it is.
    pub const fn as_nanos(self) -> i128 {
        self.0
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        // A duration has fewer than 2^94 nanoseconds, and no clock tells of more years than that.
        Self(self.0 + span.as_nanos() as i128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_1970_in_both_directions() {
        let second = UnixTime::from_secs(1);
        assert_eq!(second.as_nanos(), 1_000_000_000);
        assert_eq!(UnixTime::from_nanos(-1) + Duration::from_nanos(1_000_000_001), second);
        assert!(UnixTime::from_nanos(-1) < UnixTime::from_secs(0));
    }
}
