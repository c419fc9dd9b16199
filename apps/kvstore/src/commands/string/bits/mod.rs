//! Commands on strings as rows of bits.

mod bitmap;
mod field;
mod operation;
#[cfg(test)]
mod tests;

pub use field::{bitfield, bitfield_ro};
pub use operation::bitop;

use bitmap::BitRange;
use pmem::Medium;

use crate::commands::arguments::{integer, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::{Context, Request};
use crate::number;

/// How much of a value is looked at in one piece, in bytes.
const PIECE: u64 = 64 * 1024;

const NO_OFFSET: Failure = Failure::text("ERR bit offset is not an integer or out of range");

/// A bit's number, as large as a string can be long.
fn offset<M: Medium>(context: &Context<'_, '_, M>, argument: &[u8]) -> Result<u64, Failure> {
    checked_offset(number::integer(argument).ok_or(NO_OFFSET)?, context.shared.limits.parser.argument)
}

/// The same, of a string of at most `longest` bytes.
fn checked_offset(offset: i64, longest: usize) -> Result<u64, Failure> {
    u64::try_from(offset).ok().filter(|offset| offset / 8 < longest as u64).ok_or(NO_OFFSET)
}

/// `SETBIT key offset value`
pub fn setbit<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    const NO_BIT: Failure = Failure::text("ERR bit is not an integer or out of range");
    let (key, at) = (request.get(1), offset(context, request.get(2))?);
    let set = match number::integer(request.get(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(NO_BIT),
    };
    let length = context.find_string(key)?.map_or(0, |meta| meta.len);
    let mut byte = context.bytes(key, at / 8, 1)?;
    byte.resize(1, 0);
    let before = bitmap::bit(&byte, at % 8);
    if before != set || length <= at / 8 {
        bitmap::set_bit(&mut byte, at % 8, set);
        context.overwrite(key, (at / 8) as usize, &byte)?;
    }
    context.reply.flag(before);
    Ok(())
}

/// `GETBIT key offset`
pub fn getbit<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let at = offset(context, request.get(2))?;
    context.look_string(request.get(1))?;
    let byte = context.bytes(request.get(1), at / 8, 1)?;
    context.reply.flag(bitmap::bit(&byte, at % 8));
    Ok(())
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub fn bitcount<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(1);
    let Some(meta) = context.look_string(key)? else {
        context.reply.flag(false);
        return Ok(());
    };
    let range = match request.len() {
        2 => range(0, -1, false, meta.len),
        4 | 5 => {
            let (start, end) = (integer(request.get(2))?, integer(request.get(3))?);
            // Redis does not look at the unit then.
            let nothing = start < 0 && end < 0 && start > end;
            if nothing { None } else { range(start, end, in_bits(request, 4)?, meta.len) }
        }
        _ => return Err(SYNTAX),
    };
    let mut count = 0;
    if let Some(range) = range {
        context.visit(key, range, |offset, piece| {
            count += range.count(offset, piece);
            None::<()>
        })?;
    }
    context.reply.integer(count as i64);
    Ok(())
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub fn bitpos<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(1);
    let set = match integer(request.get(2))? {
        0 => false,
        1 => true,
        _ => return Err(Failure::text("ERR The bit argument must be 1 or 0.")),
    };
    let Some(meta) = context.look_string(key)? else {
        // As a string of clear bits without an end.
        context.reply.integer(if set { -1 } else { 0 });
        return Ok(());
    };
    let range = match request.len() {
        3 => range(0, -1, false, meta.len),
        4..=6 => {
            let (start, bits) = (integer(request.get(3))?, in_bits(request, 5)?);
            let end = if request.len() > 4 { integer(request.get(4))? } else { -1 };
            range(start, end, bits, meta.len)
        }
        _ => return Err(SYNTAX),
    };
    let position = match range {
        None => None,
        Some(range) => {
            let found = context.visit(key, range, |offset, piece| range.find(set, offset, piece))?;
            // Beyond the end of the string all bits are clear, unless only those up to an end were asked for.
            let beyond = !set && request.len() < 5;
            found.or(beyond.then_some(meta.len * 8))
        }
    };
    context.reply.integer(position.map_or(-1, |at| at as i64));
    Ok(())
}

/// Whether an optional unit says that a range is in bits.
fn in_bits(request: Request<'_>, at: usize) -> Result<bool, Failure> {
    match at < request.len() {
        false => Ok(false),
        true if is(request.get(at), "BIT") => Ok(true),
        true if is(request.get(at), "BYTE") => Ok(false),
        true => Err(SYNTAX),
    }
}

/// The bits between two bytes or bits of a string of `length` bytes; negative ones are counted from the end.
fn range(start: i64, end: i64, in_bits: bool, length: u64) -> Option<BitRange> {
    let unit = if in_bits { 1 } else { 8 };
    let total = (length * 8 / unit) as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(total - 1));
    (start <= end).then(|| BitRange { first: start as u64 * unit, last: end as u64 * unit + unit - 1 })
}

impl<M: Medium> Context<'_, '_, M> {
    /// Some bytes of a key's value; fewer, where it ends.
    fn bytes(&mut self, key: &[u8], offset: u64, length: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.turn.get_range(key, offset, length, &mut bytes)?;
        Ok(bytes)
    }

    /// Shows the bytes of a key's value that have a range's bits to `visit`, piece by piece with the place of each,
    /// until it returns something.
    fn visit<T>(
        &mut self,
        key: &[u8],
        range: BitRange,
        mut visit: impl FnMut(u64, &mut [u8]) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let (mut offset, last) = range.bytes();
        self.shared.reserve_value(PIECE as usize)?;
        while offset <= last {
            let piece = &mut self.shared.value;
            piece.clear();
            self.turn.get_range(key, offset, PIECE.min(last + 1 - offset), piece)?;
            if let Some(found) = visit(offset, piece) {
                return Ok(Some(found));
            }
            offset += PIECE;
        }
        Ok(None)
    }
}
