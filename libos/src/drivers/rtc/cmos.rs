//! Reading the clock's registers as one consistent moment (MC146818A).

use core::fmt;

use super::calendar::DateTime;

/// Access to the CMOS registers.
pub trait Cmos {
    /// Reads a register.
    fn read(&mut self, register: u8) -> u8;
}

/// Why the clock's time cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcError {
    /// The clock never stops updating, or never reads the same twice.
    Unsteady,
    /// The clock does not advance.
    Stopped,
    /// The registers hold no date: status B and the seven registers from seconds to century.
    NoDate(u8, [u8; 7]),
}

impl fmt::Display for RtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsteady => write!(f, "RTC: the clock does not come to rest"),
            Self::Stopped => write!(f, "RTC: the clock does not advance"),
            Self::NoDate(status, registers) => {
                write!(
                    f,
                    "RTC: the registers hold no date from 1970 to 2261 (status B {status:#04x}, {registers:02x?})"
                )
            }
        }
    }
}

impl core::error::Error for RtcError {}

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;

const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

/// An update takes about 2 ms of each second, and a port access about 1 us: this is several updates' time.
const ATTEMPTS: usize = 20_000;

/// The moment on the clock, to the second. `century` is the register that holds it, if there is one.
///
/// The registers change one after the other during an update. UIP is set from 244 us before one, so what is read right
/// after UIP was clear is consistent, unless the reader was delayed: hence two readings that must agree.
pub fn date(cmos: &mut impl Cmos, century: Option<u8>) -> Result<DateTime, RtcError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        if cmos.read(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
            last = None;
            continue;
        }
        let now = [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(|register| cmos.read(register));
        if last == Some(now) {
            let status = cmos.read(STATUS_B);
            let century = century.map(|register| cmos.read(register));
            let date = decode(status, now, century).filter(DateTime::is_valid);
            let [second, minute, hour, day, month, year] = now;
            let seen = [second, minute, hour, day, month, year, century.unwrap_or(0)];
            return date.ok_or(RtcError::NoDate(status, seen));
        }
        last = Some(now);
    }
    Err(RtcError::Unsteady)
}

/// The date in the registers, in the format that status B tells; `None` if they are no numbers.
fn decode(status: u8, [second, minute, hour, day, month, year]: [u8; 6], century: Option<u8>) -> Option<DateTime> {
    let number = |raw: u8| match status & BINARY {
        0 if raw & 0x0f > 9 || raw >> 4 > 9 => None,
        0 => Some((raw >> 4) * 10 + (raw & 0x0f)),
        _ => Some(raw),
    };
    let hour = match status & HOURS_24 {
        0 => match (number(hour & !AFTERNOON)?, hour & AFTERNOON != 0) {
            (12, afternoon) => u8::from(afternoon) * 12,
            (hour @ 1..12, afternoon) => hour + u8::from(afternoon) * 12,
            _ => return None,
        },
        _ => number(hour)?,
    };
    let year = number(year).filter(|year| *year < 100)?;
    let century = match century {
        Some(raw) => number(raw)?,
        // Such clocks begin in 1980, where the first PC's did.
        None if year >= 80 => 19,
        None => 20,
    };
    Some(DateTime {
        year: u16::from(century) * 100 + u16::from(year),
        month: number(month)?,
        day: number(day)?,
        hour,
        minute: number(minute)?,
        second: number(second)?,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const CENTURY: u8 = 0x32;

    /// A clock whose register file is `now`; each read of the seconds goes on to the next one.
    struct Fake {
        registers: Vec<[u8; 128]>,
        busy: usize,
    }

    impl Cmos for Fake {
        fn read(&mut self, register: u8) -> u8 {
            if register == STATUS_A && self.busy > 0 {
                self.busy -= 1;
                return UPDATE_IN_PROGRESS;
            }
            if register == SECONDS && self.registers.len() > 1 {
                self.registers.remove(0);
            }
            self.registers[0][usize::from(register & 0x7f)]
        }
    }

    fn clock(status: u8, [second, minute, hour, day, month, year, century]: [u8; 7]) -> [u8; 128] {
        let mut file = [0; 128];
        for (register, value) in [
            (SECONDS, second),
            (MINUTES, minute),
            (HOURS, hour),
            (DAY, day),
            (MONTH, month),
            (YEAR, year),
            (CENTURY, century),
            (STATUS_B, status),
        ] {
            file[usize::from(register)] = value;
        }
        file
    }

    fn read(status: u8, registers: [u8; 7], century: Option<u8>) -> Result<u64, RtcError> {
        let mut cmos = Fake { registers: vec![clock(status, registers)], busy: 0 };
        date(&mut cmos, century).map(|date| date.unix_seconds())
    }

    const NINE_NINE_2001: u64 = 1_000_000_000; // 2001-09-09 01:46:40

    #[test]
    fn reads_every_format() {
        let bcd = [0x40, 0x46, 0x01, 0x09, 0x09, 0x01, 0x20];
        let binary = [40, 46, 1, 9, 9, 1, 20];
        assert_eq!(read(HOURS_24, bcd, Some(CENTURY)), Ok(NINE_NINE_2001));
        assert_eq!(read(HOURS_24, bcd, None), Ok(NINE_NINE_2001));
        assert_eq!(read(HOURS_24 | BINARY, binary, Some(CENTURY)), Ok(NINE_NINE_2001));
        assert_eq!(read(0, bcd, Some(CENTURY)), Ok(NINE_NINE_2001));
        let hour = |status, hour| {
            let mut registers = if status & BINARY == 0 { bcd } else { binary };
            registers[2] = hour;
            (read(status, registers, None).unwrap() - (NINE_NINE_2001 - 3600)) / 3600
        };
        assert_eq!(hour(HOURS_24, 0x23), 23);
        assert_eq!([hour(0, 0x12), hour(0, 0x92), hour(0, 0x91), hour(0, 0x11)], [0, 12, 23, 11]);
        assert_eq!([hour(BINARY, 12), hour(BINARY, 0x8c), hour(BINARY, 0x8b)], [0, 12, 23]);
    }

    #[test]
    fn reads_the_years_before_1999_and_from_2100_on() {
        let year = |century: u8, year: u8, register| {
            let registers = [0, 0, 0, 1, 1, year, century];
            let mut cmos = Fake { registers: vec![clock(HOURS_24, registers)], busy: 0 };
            date(&mut cmos, register).map(|date| date.year)
        };
        for (high, low, expected) in [(0x19, 0x70, 1970), (0x19, 0x98, 1998), (0x21, 0x00, 2100), (0x22, 0x61, 2261)] {
            assert_eq!(year(high, low, Some(CENTURY)), Ok(expected));
        }
        for (high, low) in [(0x19, 0x69), (0x22, 0x62), (0x25, 0x54), (0x99, 0x99)] {
            let refused = year(high, low, Some(CENTURY)).unwrap_err();
            assert!(alloc::format!("{refused}").contains("no date from 1970 to 2261"), "{refused}");
        }
        // Without the century, the window is a PC's life.
        let window = [(0x80, 1980), (0x98, 1998), (0x99, 1999), (0x00, 2000), (0x26, 2026), (0x79, 2079)];
        window.iter().for_each(|&(low, expected)| assert_eq!(year(0, low, None), Ok(expected)));
        let likely = |year| DateTime { year, month: 1, day: 1, hour: 0, minute: 0, second: 0 }.is_likely();
        assert_eq!([1980, 1999, 2025, 2026, 2100].map(likely), [false, false, false, true, true]);
    }

    #[test]
    fn refuses_registers_without_a_date() {
        let good = [0x40, 0x46, 0x01, 0x09, 0x09, 0x01, 0x20];
        for (field, value) in [(0, 0x60), (0, 0x4a), (1, 0xff), (2, 0x24), (3, 0x31), (4, 0x13), (5, 0xa0), (6, 0x18)] {
            let mut bad = good;
            bad[field] = value;
            assert_eq!(read(HOURS_24, bad, Some(CENTURY)), Err(RtcError::NoDate(HOURS_24, bad)));
        }
        let mut zero_hour = good;
        zero_hour[2] = 0;
        assert!(read(0, zero_hour, None).is_err(), "a 12-hour clock has no hour 0");
    }

    #[test]
    fn never_mixes_two_moments() {
        let before = clock(HOURS_24, [0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x19]);
        let torn = clock(HOURS_24, [0x00, 0x59, 0x23, 0x31, 0x12, 0x99, 0x19]);
        let after = clock(HOURS_24, [0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x20]);
        let mut cmos = Fake { registers: vec![before, before, torn, after, after], busy: 3 };
        assert_eq!(date(&mut cmos, Some(CENTURY)).map(|date| date.unix_seconds()), Ok(946_684_800));
    }

    #[test]
    fn gives_up_on_a_clock_that_never_rests() {
        let good = clock(HOURS_24, [0; 7]);
        assert_eq!(date(&mut Fake { registers: vec![good], busy: usize::MAX }, None), Err(RtcError::Unsteady));
    }

    proptest! {
        #[test]
        fn any_registers_are_read_or_refused(status: u8, registers: [u8; 7], century in prop::option::of(Just(CENTURY))) {
            if let Ok(seconds) = read(status, registers, century) {
                prop_assert!(i64::try_from(seconds * 1_000_000_000).is_ok(), "the wall clock reaches there");
            }
        }
    }
}
