//! The proleptic Gregorian calendar, as far as a clock needs it.

use core::fmt;

/// The last year that the wall clock reaches: nanoseconds since 1970 in 63 bits.
const LAST_YEAR: u16 = 2261;
/// No clock can truthfully be before the year in which this was written.
const FIRST_LIKELY_YEAR: u16 = 2026;

/// A date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// 1970 or later, as far as the wall clock reaches.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the month's length.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// Whether every field is in its range.
    pub fn is_valid(&self) -> bool {
        (1970..=LAST_YEAR).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }

    /// Whether a clock can be right that shows it.
    pub fn is_likely(&self) -> bool {
        self.year >= FIRST_LIKELY_YEAR
    }

    /// Seconds since 1970-01-01 00:00:00 UTC of a valid date and time.
    pub fn unix_seconds(&self) -> u64 {
        let days = days_before_year(self.year) - days_before_year(1970)
            + (1..self.month).map(|month| u64::from(days_in_month(self.year, month))).sum::<u64>()
            + u64::from(self.day)
            - 1;
        ((days * 24 + u64::from(self.hour)) * 60 + u64::from(self.minute)) * 60 + u64::from(self.second)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn is_leap_year(year: u16) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from the beginning of year 1 to the beginning of `year`, which is 1 or later.
fn days_before_year(year: u16) -> u64 {
    let past = u64::from(year) - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> DateTime {
        DateTime { year, month, day, hour, minute, second }
    }

    #[test]
    fn agrees_with_known_moments() {
        for (moment, seconds) in [
            (at(1970, 1, 1, 0, 0, 0), 0),
            (at(1999, 12, 31, 23, 59, 59), 946_684_799),
            (at(2000, 2, 29, 12, 0, 0), 951_825_600),
            (at(2001, 9, 9, 1, 46, 40), 1_000_000_000),
            (at(2038, 1, 19, 3, 14, 8), 1 << 31),
            (at(2100, 3, 1, 0, 0, 0), 4_107_542_400),
        ] {
            assert!(moment.is_valid(), "{moment:?}");
            assert_eq!(moment.unix_seconds(), seconds, "{moment:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a hundred thousand days take an interpreter too long")]
    fn every_day_follows_the_one_before_it() {
        let mut expected = 0;
        for year in 1970..=2261 {
            for month in 1..=12 {
                for day in (1..=31).filter(|day| at(year, month, *day, 0, 0, 0).is_valid()) {
                    assert_eq!(at(year, month, day, 0, 0, 0).unix_seconds(), expected);
                    expected += 86_400;
                }
            }
        }
    }

    #[test]
    fn refuses_what_no_calendar_has() {
        for moment in [
            at(1969, 12, 31, 0, 0, 0),
            at(2262, 1, 1, 0, 0, 0),
            at(2026, 0, 1, 0, 0, 0),
            at(2026, 13, 1, 0, 0, 0),
            at(2026, 1, 0, 0, 0, 0),
            at(2026, 2, 29, 0, 0, 0),
            at(2100, 2, 29, 0, 0, 0),
            at(2026, 4, 31, 0, 0, 0),
            at(2026, 1, 1, 24, 0, 0),
            at(2026, 1, 1, 0, 60, 0),
            at(2026, 1, 1, 0, 0, 60),
        ] {
            assert!(!moment.is_valid(), "{moment:?}");
        }
    }
}
