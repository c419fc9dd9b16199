//! The short way for a request that is all there and is nothing out of the ordinary, as nearly every one is.

use std::ops::Range;

use super::{FEW, LINE_END, Limits};

/// Most digits of a number that goes the short way.
const DIGITS: usize = 9;

/// Notes where the arguments of the request at the start of `text` are, and returns the request's length. None if
/// anything is lacking, wrong or beyond a limit: what that is, and what follows, the long way knows. `arguments` has
/// room for [`FEW`], and holds nothing of use then.
pub(super) fn read(text: &[u8], limits: &Limits, arguments: &mut Vec<Range<usize>>) -> Option<usize> {
    let (count, mut at) = number(text, 0, b'*')?;
    if !(1..=FEW.min(limits.arguments)).contains(&count) {
        return None;
    }
    for _ in 0..count {
        let (length, start) = number(text, at, b'$')?;
        let end = start + length;
        if length > limits.argument || end > limits.request || end + LINE_END > text.len() {
            return None;
        }
        arguments.push(start..end);
        at = end + LINE_END;
    }
    Some(at)
}

/// The number in the line that begins at `at` with this mark, and where the next line begins.
fn number(text: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    let (&first, digits) = text.get(at..)?.split_first()?;
    if first != mark {
        return None;
    }
    let mut value = 0;
    for (place, &byte) in digits.iter().take(DIGITS + 1).enumerate() {
        match byte {
            b'0'..=b'9' => value = 10 * value + usize::from(byte - b'0'),
            // Of several digits the first is no zero.
            b'\r' if place == 1 || place > 1 && digits[0] != b'0' => {
                let next = at + 1 + place + LINE_END;
                return (next <= text.len()).then_some((value, next));
            }
            _ => return None,
        }
    }
    None
}
