//! Reading arguments.

use super::failure::{Failure, NOT_AN_INTEGER, SYNTAX};
use crate::number;
use crate::resp::Request;

/// Whether `argument` is the option `name`, in upper case or lower.
pub fn is(argument: &[u8], name: &str) -> bool {
    argument.eq_ignore_ascii_case(name.as_bytes())
}

/// A 64-bit integer.
pub fn integer(argument: &[u8]) -> Result<i64, Failure> {
    number::integer(argument).ok_or(NOT_AN_INTEGER)
}

/// A 32-bit integer, which Redis refuses in other words when it does not fit.
pub fn small_integer(argument: &[u8]) -> Result<i32, Failure> {
    const RANGE: Failure = Failure::text("ERR value is out of range, value must between -2147483648 and 2147483647");
    integer(argument)?.try_into().map_err(|_| RANGE)
}

/// A request's options, taken one by one.
pub struct RequestOptions<'a> {
    request: Request<'a>,
    at: usize,
}

impl<'a> RequestOptions<'a> {
    /// The options from argument `at` on.
    pub fn new(request: Request<'a>, at: usize) -> Self {
        Self { request, at }
    }

    /// The next argument that has not been taken.
    pub fn next(&mut self) -> Option<&'a [u8]> {
        (self.at < self.request.len()).then(|| {
            self.at += 1;
            self.request.get(self.at - 1)
        })
    }

    /// The value of the option that has just been taken.
    pub fn value(&mut self) -> Result<&'a [u8], Failure> {
        self.next().ok_or(SYNTAX)
    }
}
