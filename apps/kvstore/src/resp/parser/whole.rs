//! The short way for a request that is all there and is nothing out of the ordinary, as nearly every one is.

use std::ops::Range;

use super::{FEW, LINE_END, Limits};

/// Most digits of a number that goes the short way.
const DIGITS: usize = 9;

/// Notes where the arguments of the request at the start of `text` are, and returns the request's length. None if
/// anything is lacking, wrong or beyond a limit: what that is, and what follows, the long way knows. `arguments` has
/// room for [`FEW`], and holds nothing of use then.
pub(super) fn read(text: &[u8], limits: &Limits, arguments: &mut Vec<Range<usize>>) -> Option<usize> {
    let (count, mut rest) = number(text, b'*')?;
    if !(1..=FEW.min(limits.arguments)).contains(&count) {
        return None;
    }
    for _ in 0..count {
        let (length, argument) = number(rest, b'$')?;
        let start = text.len() - argument.len();
        let end = start + length;
        if length > limits.argument || end > limits.request {
            return None;
        }
        rest = argument.get(length + LINE_END..)?;
        arguments.push(start..end);
    }
    Some(text.len() - rest.len())
}

/// The number in the line at the start of `text`, which has this mark, and what follows the line.
#[inline(always)]
fn number(text: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match *text {
        [first, ..] if first != mark => None,
        [_, one @ b'0'..=b'9', b'\r', _, ref rest @ ..] => Some((digit(one), rest)),
        [_, ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', _, ref rest @ ..] => {
            Some((10 * digit(ten) + digit(one), rest))
        }
        [_, b'1'..=b'9', ..] => long_number(&text[1..]),
        _ => None,
    }
}

/// The number of several digits at the start of a line, and what follows the line.
fn long_number(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits].iter().fold(0, |value, digit| 10 * value + usize::from(digit - b'0'));
    match text[digits..] {
        [b'\r', _, ref rest @ ..] => Some((value, rest)),
        _ => None,
    }
}
