//! 80-bit extended floating point, the x86's `long double`: Redis computes `INCRBYFLOAT` in it.
//!
//! Its 64 bits of mantissa show in the replies (3.0 + 1.1 is 4.1, not 4.0999999999999996), so they are computed here in
//! integers, with correct rounding, on any machine. Only what `INCRBYFLOAT` needs: read, add, write.

use super::decimal::Natural;

/// A finite number, mantissa times two to the power of `exponent`. The mantissa is 0 or has its highest bit set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// A floating-point number with a mantissa of 64 bits; it is never NaN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extended(Option<Finite>);

/// The largest exponent of a 64-bit mantissa: `LDBL_MAX` is just below two to the power of 16384.
const MAX_EXPONENT: i32 = 16384 - 64;
/// The exponent of the smallest subnormal number.
const MIN_EXPONENT: i32 = -16445;
/// Longest text that is read, in bytes: the size of Redis's buffer.
const MAX_TEXT: usize = 5 * 1024;
/// Digits behind the point that are written.
const FRACTION: usize = 17;
const ZERO: Finite = Finite { negative: false, mantissa: 0, exponent: 0 };

impl Extended {
    /// Reads a number as C's `strtold` does: decimal or hexadecimal, `inf` and `infinity` too. `None` for anything
    /// else, for NaN, and for what overflows or underflows to nothing.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Self(None));
        }
        let magnitude = match digits {
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
            digits => parse_decimal(digits)?,
        };
        Some(Self(Some(Finite { negative, ..magnitude })))
    }

    /// The sum, rounded to the nearest number, to the even one of two; `None` if it is not finite.
    pub fn add(self, other: Self) -> Option<Self> {
        let (Some(a), Some(b)) = (self.0, other.0) else { return None };
        let (large, small) = if (a.top(), a.mantissa) >= (b.top(), b.mantissa) { (a, b) } else { (b, a) };
        if small.mantissa == 0 {
            return Some(Self(Some(large)));
        }
        // Two bits above for the carry and the sign's sake, 62 below; what falls out there is remembered in the last
        // bit.
        let distance = (large.exponent - small.exponent) as u32;
        let whole = u128::from(large.mantissa) << 62;
        let (part, lost) = match u128::from(small.mantissa) << 62 {
            part if distance < 126 => (part >> distance, part & ((1 << distance) - 1) != 0),
            _ => (0, true),
        };
        let sum = match (large.negative == small.negative, lost) {
            (true, _) => whole + part,
            (false, false) => whole - part,
            // What is lost would have made the difference a little smaller.
            (false, true) => whole - part - 1,
        } | u128::from(lost);
        if sum == 0 {
            return Some(Self(Some(ZERO)));
        }
        let shift = sum.leading_zeros();
        let sum = sum << shift;
        let exponent = large.exponent - 62 + 64 - shift as i32;
        let rest = sum as u64;
        let rounded = round((sum >> 64) as u64, exponent, rest >> 63 == 1, rest << 1 != 0)?;
        Some(Self(Some(Finite { negative: large.negative, ..rounded })))
    }

    /// Appends the number as Redis does: at most 17 digits behind the point, no exponent, no trailing zeros.
    pub fn write(self, out: &mut Vec<u8>) {
        let Some(number) = self.0 else {
            out.extend_from_slice(b"inf");
            return;
        };
        let start = out.len();
        if number.negative {
            out.push(b'-');
        }
        let digits = out.len();
        if number.exponent >= 0 {
            let mut whole = Natural::new(number.mantissa);
            whole.shift_left(number.exponent as u32);
            whole.decimal(out);
        } else {
            // 64 bits times 10^17 are 121 bits: the rounding to 17 digits is exact.
            let scaled = u128::from(number.mantissa) * 10u128.pow(FRACTION as u32);
            let shift = number.exponent.unsigned_abs();
            let (mut value, rest, half) = match shift {
                0..=127 => (scaled >> shift, scaled & ((1 << shift) - 1), 1 << (shift - 1)),
                _ => (0, 0, 1),
            };
            if rest > half || rest == half && value & 1 == 1 {
                value += 1;
            }
            let text = format!("{value:0width$}", width = FRACTION + 1);
            let (whole, fraction) = text.split_at(text.len() - FRACTION);
            out.extend_from_slice(whole.as_bytes());
            let fraction = fraction.trim_end_matches('0');
            if !fraction.is_empty() {
                out.push(b'.');
                out.extend_from_slice(fraction.as_bytes());
            }
        }
        if matches!(&out[digits..], b"" | b"0") {
            out.truncate(start);
            out.push(b'0');
        }
    }
}

impl Finite {
    /// The power of two above the number, for comparing magnitudes.
    fn top(self) -> i32 {
        if self.mantissa == 0 { i32::MIN } else { self.exponent }
    }
}

/// Digits with at most one point among them: the digits' value (`radix` per digit), and how many stood behind the
/// point. Returns what follows too. `None` if there is no digit.
fn parse_digits(text: &[u8], radix: u32) -> Option<(Natural, i64, &[u8])> {
    let (mut value, mut fraction, mut point, mut any, mut at) = (Natural::new(0), 0, false, false, 0);
    while let Some(&byte) = text.get(at) {
        match char::from(byte).to_digit(radix) {
            Some(digit) => {
                value.multiply_add(radix, digit);
                fraction += i64::from(point);
                any = true;
            }
            None if byte == b'.' && !point => point = true,
            None => break,
        }
        at += 1;
    }
    any.then_some((value, fraction, &text[at..]))
}

/// An exponent's letter, sign and digits, or nothing. Far beyond every range it saturates.
fn parse_exponent(text: &[u8], letter: u8) -> Option<i64> {
    let [first, rest @ ..] = text else { return Some(0) };
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if first.to_ascii_lowercase() != letter || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

fn parse_hexadecimal(text: &[u8]) -> Option<Finite> {
    let (value, fraction, rest) = parse_digits(text, 16)?;
    let exponent = parse_exponent(rest, b'p')? - 4 * fraction;
    normal(&value, exponent.try_into().ok()?, false)
}

fn parse_decimal(text: &[u8]) -> Option<Finite> {
    let (mut value, fraction, rest) = parse_digits(text, 10)?;
    let exponent = parse_exponent(rest, b'e')? - fraction;
    if value.is_zero() {
        return Some(ZERO);
    }
    // So far out it overflows or underflows whatever the digits are, and need not be computed.
    if !(-12_000..=6_000).contains(&exponent) {
        return None;
    }
    if exponent >= 0 {
        for places in groups(exponent as u32, 9) {
            value.multiply_add(10u32.pow(places), 0);
        }
        return normal(&value, 0, false);
    }
    // value / 10^n = (value << s) / 5^n * 2^-(n + s), with s large enough for 64 bits and one more to round by.
    let places = exponent.unsigned_abs() as u32;
    let shift = (places * 7 / 3 + 68).saturating_sub(value.bits());
    value.shift_left(shift);
    let mut inexact = false;
    for places in groups(places, 13) {
        inexact |= value.divide(5u32.pow(places)) != 0;
    }
    normal(&value, -((places + shift) as i32), inexact)
}

/// `count` in summands of at most `most`.
fn groups(count: u32, most: u32) -> impl Iterator<Item = u32> {
    (0..count).step_by(most as usize).map(move |done| (count - done).min(most))
}

/// `value` times two to the power of `exponent`, rounded; `inexact` says that the true value is a little larger.
fn normal(value: &Natural, exponent: i32, inexact: bool) -> Option<Finite> {
    if value.is_zero() {
        return Some(ZERO);
    }
    let (mantissa, below, half, rest) = value.top();
    round(mantissa, exponent + below, half, rest || inexact)
}

/// Rounds to the nearest, to the even one of two. `half` is the first bit below the mantissa, `rest` whether anything
/// is set below that. `None` if it overflows, or underflows to nothing.
fn round(mantissa: u64, exponent: i32, half: bool, rest: bool) -> Option<Finite> {
    // A subnormal number has fewer bits: they are rounded at its last one.
    let missing = (MIN_EXPONENT - exponent).max(0) as u32;
    if missing > 64 {
        return None;
    }
    let wide = u128::from(mantissa) << 64 | u128::from(half) << 63 | u128::from(rest);
    let below = 64 + missing;
    let kept = wide.checked_shr(below).unwrap_or(0);
    let lost = wide & 1u128.checked_shl(below).map_or(u128::MAX, |bit| bit - 1);
    let middle = 1u128 << (below - 1);
    let mut kept = kept as u64;
    let mut exponent = exponent + missing as i32;
    if lost > middle || lost == middle && kept & 1 == 1 {
        let (sum, carry) = kept.overflowing_add(1);
        kept = sum;
        if carry {
            kept = 1 << 63;
            exponent += 1;
        }
    }
    if kept == 0 {
        return None;
    }
    let shift = kept.leading_zeros();
    let (mantissa, exponent) = (kept << shift, exponent - shift as i32);
    (exponent <= MAX_EXPONENT).then_some(Finite { negative: false, mantissa, exponent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: Extended) -> String {
        let mut out = Vec::new();
        number.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn sum(a: &str, b: &str) -> Option<String> {
        Extended::parse(a.as_bytes())?.add(Extended::parse(b.as_bytes())?).map(written)
    }

    /// Expected values are redis-server 7.0.15's on x86-64.
    #[test]
    fn sums_are_those_of_a_long_double() {
        for (a, b, expected) in [
            ("3.0", "1.1", "4.1"),
            ("4.1", "1e10", "10000000004.09999999962747097"),
            ("1", "-1", "0"),
            ("-1", "1", "0"),
            ("0", "5.0e3", "5000"),
            ("16", "1e-30", "16"),
            ("0", "0x10", "16"),
            ("0", "0x1.8p1", "3"),
            ("16", "+5", "21"),
            ("21", ".5", "21.5"),
            ("21.5", "5.", "26.5"),
            ("0", "-0.1", "-0.1"),
            ("-0", "0", "0"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("0.1", "0.2", "0.3"),
            ("1e18", "0.5", "1000000000000000000.5"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn large_numbers_are_written_in_full() {
        let text = sum("0", "1e400").unwrap();
        assert!(text.starts_with("10000000000000000000281880683947586514586453433629052038625910693539685534008"));
        assert_eq!(text.len(), 401);
        assert_eq!(sum(&text, "-1e400").as_deref(), Some("0"));
        assert!(sum("1e4932", "0").is_some());
        assert_eq!(sum("1.1e4932", "1.1e4932"), None, "the sum overflows");
        assert_eq!(sum("inf", "1"), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", " 1", "1 ", "x", "nan", "1e", "1e+", "0x", "0xg", ".", "+", "--1", "1.2.3", "1e5000", "1e-5000", "1_0"]
        {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// Doubles fit: whole numbers and their sums below 2^53 are exact in either.
        #[test]
        fn whole_numbers_are_exact(a in -(1i64 << 60)..1 << 60, b in -(1i64 << 60)..1 << 60) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        /// Quarters are exact in binary and in decimal.
        #[test]
        fn quarters_are_exact(a in -(1i64 << 40)..1 << 40, b in -(1i64 << 40)..1 << 40) {
            let text = |quarters: i64| (quarters as f64 / 4.0).to_string();
            prop_assert_eq!(sum(&text(a), &text(b)), Some(text(a + b)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            Extended::parse(&text);
        }

        #[test]
        fn any_number_can_be_written(text in "-?[0-9]{1,30}(\\.[0-9]{1,30})?(e-?[0-9]{1,4})?") {
            if let Some(number) = Extended::parse(text.as_bytes()) {
                let _ = number.add(number).map(written);
            }
        }
    }
}
