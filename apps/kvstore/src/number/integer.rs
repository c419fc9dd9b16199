//! Decimal integers.

/// Most bytes that [`format()`] and [`format_at_end`] write: a sign and 19 digits.
pub const DIGITS: usize = 20;

/// Reads a 64-bit integer as Redis's `string2ll` does: no spaces, no plus, no leading zeros, nothing behind it.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < DIGITS => {}
        _ => return None,
    }
    let mut value = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Downwards, because there is one more negative number than there are positive ones.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Reads an unsigned 64-bit integer as C's `strtoul` does for `SCAN`: an optional sign (minus wraps round), then digits
/// and nothing behind them; nothing at all is 0.
pub fn unsigned(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        [] => return Some(0),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Writes `value` into `buffer` without allocating; the digits are what is returned.
pub fn format(value: i64, buffer: &mut [u8; DIGITS]) -> &[u8] {
    let start = format_at_end(value, buffer);
    &buffer[start..]
}

/// The same at the end of `buffer`, which has [`DIGITS`] bytes at least. Returns where the digits begin.
pub fn format_at_end(value: i64, buffer: &mut [u8]) -> usize {
    let mut rest = value.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn cursors_are_read_as_strtoul_reads_them() {
        for (text, value) in [
            ("", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            ("1x", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64) {
            let mut buffer = [0; DIGITS];
            let text = format(value, &mut buffer).to_vec();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), value.to_string());
            prop_assert_eq!(integer(&text), Some(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            integer(&text);
            unsigned(&text);
        }
    }
}
