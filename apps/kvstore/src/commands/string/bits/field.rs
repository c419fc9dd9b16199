//! `BITFIELD`: integers of any width within a string of bits.

use pmem::Medium;

use super::{NO_OFFSET, bitmap, checked_offset};
use crate::commands::arguments::{integer, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX, TOO_LONG};
use crate::commands::{Context, Request};
use crate::memory::Buffer;
use crate::number;

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// An integer's form.
#[derive(Clone, Copy)]
struct Form {
    signed: bool,
    width: u32,
}

impl Form {
    fn parse(argument: &[u8]) -> Result<Self, Failure> {
        const INVALID: Failure = Failure::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (signed, width, most) = match argument {
            [b'i', width @ ..] => (true, width, 64),
            [b'u', width @ ..] => (false, width, 63),
            _ => return Err(INVALID),
        };
        let width = number::integer(width).filter(|width| (1..=most).contains(width)).ok_or(INVALID)?;
        Ok(Self { signed, width: width as u32 })
    }

    /// The number in some bits.
    fn read(self, bits: u64) -> i64 {
        match self.signed {
            // The highest bit is the sign.
            true => (bits << (64 - self.width)) as i64 >> (64 - self.width),
            false => bits as i64,
        }
    }

    fn range(self) -> (i128, i128) {
        match self.signed {
            true => (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1),
            false => (0, (1 << self.width) - 1),
        }
    }

    /// What is to be fitted for a `SET` of a signed number: where it lies so far below the least that Redis's
    /// difference to the largest overflows, Redis saturates it to the largest, and so do we.
    fn before_fitting(self, value: i64, overflow: Overflow) -> i128 {
        let (_, most) = self.range();
        match overflow {
            Overflow::Saturate if self.width < 64 && most - i128::from(value) > i128::from(i64::MAX) => most,
            _ => i128::from(value),
        }
    }

    /// The number that `value` is stored as; `None` if it is not stored.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = self.range();
        match overflow {
            _ if (least..=most).contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.read(value as u64 & (u64::MAX >> (64 - self.width)))),
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }
}

/// What is done to a field.
#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    IncrementBy(i64),
}

/// One of a request's operations.
#[derive(Clone, Copy)]
struct Operation {
    action: Action,
    form: Form,
    offset: u64,
    overflow: Overflow,
}

impl Operation {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The bytes that have its field, first and last.
    fn bytes(&self) -> (u64, u64) {
        (self.offset / 8, (self.offset + u64::from(self.form.width) - 1) / 8)
    }

    /// Does it to a window of the string that begins at byte `start`. Returns what is answered, and whether anything
    /// has changed.
    fn apply(&self, window: &mut [u8], start: u64) -> (Option<i64>, bool) {
        let (at, form) = (self.offset - start * 8, self.form);
        let before = form.read(bitmap::field(window, at, form.width));
        let (wanted, answers_old) = match self.action {
            Action::Get => return (Some(before), false),
            // An unsigned one takes a negative number for a very large one.
            Action::Set(value) if form.signed => (form.before_fitting(value, self.overflow), true),
            Action::Set(value) => (i128::from(value as u64), true),
            Action::IncrementBy(by) => (i128::from(before) + i128::from(by), false),
        };
        match form.fit(wanted, self.overflow) {
            Some(after) => {
                bitmap::set_field(window, at, form.width, after as u64);
                (Some(if answers_old { before } else { after }), before != after)
            }
            None => (None, false),
        }
    }
}

/// A request's operations, read one by one: there may be hundreds of thousands.
#[derive(Clone)]
struct Operations<'r> {
    request: Request<'r>,
    /// The longest string, in bytes.
    longest: usize,
    at: usize,
    overflow: Overflow,
}

impl<'r> Operations<'r> {
    fn new(request: Request<'r>, longest: usize) -> Self {
        Self { request, longest, at: 2, overflow: Overflow::Wrap }
    }

    fn read(&mut self) -> Result<Operation, Failure> {
        let (word, left) = (self.request.get(self.at), self.request.len() - self.at - 1);
        let gets = is(word, "GET");
        let arguments = if gets { 2 } else { 3 };
        if !(gets || is(word, "SET") || is(word, "INCRBY")) || left < arguments {
            return Err(SYNTAX);
        }
        let form = Form::parse(self.request.get(self.at + 1))?;
        let offset = self.offset(self.request.get(self.at + 2), form)?;
        let action = match gets {
            true => Action::Get,
            false if is(word, "SET") => Action::Set(integer(self.request.get(self.at + 3))?),
            false => Action::IncrementBy(integer(self.request.get(self.at + 3))?),
        };
        self.at += 1 + arguments;
        Ok(Operation { action, form, offset, overflow: self.overflow })
    }

    /// `#` counts in fields instead of bits.
    fn offset(&self, argument: &[u8], form: Form) -> Result<u64, Failure> {
        let (digits, factor) = match argument {
            [b'#', digits @ ..] => (digits, i64::from(form.width)),
            digits => (digits, 1),
        };
        checked_offset(number::integer(digits).ok_or(NO_OFFSET)?.wrapping_mul(factor), self.longest)
    }

    fn read_overflow(&mut self) -> Result<(), Failure> {
        let name = self.request.get(self.at + 1);
        self.overflow = match name {
            _ if is(name, "WRAP") => Overflow::Wrap,
            _ if is(name, "SAT") => Overflow::Saturate,
            _ if is(name, "FAIL") => Overflow::Fail,
            _ => return Err(Failure::text("ERR Invalid OVERFLOW type specified")),
        };
        self.at += 2;
        Ok(())
    }
}

impl Iterator for Operations<'_> {
    type Item = Result<Operation, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at + 1 < self.request.len() && is(self.request.get(self.at), "OVERFLOW") {
            if let Err(failure) = self.read_overflow() {
                return Some(Err(failure));
            }
        }
        (self.at < self.request.len()).then(|| self.read())
    }
}

/// The bytes, from the first to the last, that some operations are about.
#[derive(Clone, Copy)]
struct Extent {
    first: u64,
    last: u64,
}

impl Extent {
    fn with(extent: Option<Self>, operation: &Operation) -> Option<Self> {
        let (first, last) = operation.bytes();
        let Self { first: others_first, last: others_last } = extent.unwrap_or(Self { first, last });
        Some(Self { first: first.min(others_first), last: last.max(others_last) })
    }
}

/// `BITFIELD key [GET form offset | [OVERFLOW WRAP | SAT | FAIL] SET | INCRBY form offset value] ...`
pub fn bitfield<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    execute(context, request, false)
}

/// `BITFIELD_RO key [GET form offset] ...`
pub fn bitfield_ro<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    execute(context, request, true)
}

fn execute<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, read_only: bool) -> Outcome {
    let (key, longest) = (request.get(1), context.shared.limits.parser.argument);
    let operations = Operations::new(request, longest);
    let (mut count, mut all, mut written) = (0, None, None);
    for operation in operations.clone() {
        let operation = operation?;
        count += 1;
        all = Extent::with(all, &operation);
        if operation.writes() {
            written = Extent::with(written, &operation);
        }
    }
    if read_only && written.is_some() {
        return Err(Failure::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let length = match written {
        None => context.look_string(key)?,
        Some(_) => context.find_string(key)?,
    };
    let length = length.map_or(0, |meta| meta.len);
    context.reply.array(count);
    let Some(all) = all else { return Ok(()) };
    if written.is_some_and(|written| written.last >= longest as u64) {
        return Err(TOO_LONG);
    }
    let mut window = window(context, key, (all, written), length)?;
    // Redis makes the string long enough even if nothing is written then.
    let mut changed = written.is_some_and(|written| written.last >= length);
    for operation in operations {
        let (answer, changes) = operation?.apply(window.bytes(), all.first);
        changed |= changes;
        match answer {
            Some(number) => context.reply.integer(number),
            None => context.reply.null(),
        }
    }
    // Before anything is staged: without memory for the reply the command is executed again, or refused.
    context.reply.check()?;
    match written {
        Some(Extent { first, last }) if changed => {
            let patch = &window.bytes()[(first - all.first) as usize..=(last - all.first) as usize];
            context.overwrite(key, first as usize, patch).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// The bytes that `all` operations are about, of a string of `length` bytes: as far as it goes, and to the end of what
/// is `written`.
fn window<M: Medium>(
    context: &mut Context<'_, '_, M>,
    key: &[u8],
    (all, written): (Extent, Option<Extent>),
    length: u64,
) -> Result<Buffer, Failure> {
    let mut window = Buffer::new(&context.shared.memory);
    let there = length.min(all.last + 1).saturating_sub(all.first);
    let needed = written.map_or(0, |written| written.last + 1 - all.first);
    window.reserve(there.max(needed) as usize)?;
    if there > 0 {
        window.read(there as usize, |bytes| context.turn.get_range(key, all.first, there, bytes))??;
    }
    window.extend_to(needed as usize)?;
    Ok(window)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Modulo two to the width, and within the range.
        #[test]
        fn a_number_that_wraps_is_congruent_and_in_range(signed: bool, width in 1..=63u32, value in -(1i128 << 64)..1i128 << 64) {
            let form = Form { signed, width };
            let wrapped = i128::from(form.fit(value, Overflow::Wrap).unwrap());
            let (least, most) = form.range();
            prop_assert!((least..=most).contains(&wrapped));
            prop_assert_eq!((wrapped - value) % (1 << width), 0);
            let saturated = i128::from(form.fit(value, Overflow::Saturate).unwrap());
            prop_assert_eq!(saturated, value.clamp(least, most));
            let fits = (least..=most).contains(&value);
            prop_assert_eq!(form.fit(value, Overflow::Fail).is_some(), fits);
        }
    }
}
