//! `BITOP`: a string of bits made of others.

use pmem::Medium;

use super::PIECE;
use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::{Context, Request};
use crate::memory::Buffer;

/// Where the source keys begin.
const SOURCES: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(name: &[u8]) -> Result<Self, Failure> {
        const NAMES: [(&str, Operation); 4] =
            [("AND", Operation::And), ("OR", Operation::Or), ("XOR", Operation::Xor), ("NOT", Operation::Not)];
        NAMES.iter().find(|(known, _)| is(name, known)).map(|(_, operation)| *operation).ok_or(SYNTAX)
    }

    /// What becomes of a result's bytes by the bytes of the next source.
    fn apply(self, result: &mut [u8], source: &[u8]) {
        let pairs = result.iter_mut().zip(source);
        match self {
            Self::And => pairs.for_each(|(byte, other)| *byte &= other),
            Self::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Self::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Self::Not => pairs.for_each(|(byte, other)| *byte = !other),
        }
    }
}

/// `BITOP AND | OR | XOR | NOT destkey key [key ...]`: many and long sources are read in several turns.
pub fn bitop<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let operation = Operation::parse(request.get(1))?;
    if operation == Operation::Not && request.len() != SOURCES + 1 {
        return Err(Failure::text("ERR BITOP NOT must be called with a single source key."));
    }
    let resumed = context.task.is_some();
    let mut task = context.resume();
    let mut done = false;
    let mut result = task.result.take().unwrap_or_else(|| Buffer::new(&context.shared.memory));
    while SOURCES + task.done < request.len() {
        let source = request.get(SOURCES + task.done);
        if let Err(failure) = combine(context, operation, task.done == 0, source, &mut result) {
            task.result = Some(result);
            return context.fall_short(failure, task, resumed, done).map(drop);
        }
        task.done += 1;
        done = true;
        if context.worked(crate::budget::KEY) && SOURCES + task.done < request.len() {
            task.result = Some(result);
            context.pause(task);
            return Ok(());
        }
    }
    let (destination, result) = (request.get(2), result.bytes());
    match result.is_empty() {
        true => {
            context.remove_all(std::iter::once(destination))?;
        }
        false => context.put(destination, result, None)?,
    }
    context.reply.integer(result.len() as i64);
    Ok(())
}

/// Takes a source into the result, which becomes as long as the longest; shorter ones end in clear bits.
fn combine<M: Medium>(
    context: &mut Context<'_, '_, M>,
    operation: Operation,
    is_first: bool,
    source: &[u8],
    result: &mut Buffer,
) -> Outcome {
    let length = context.look_string(source)?.map_or(0, |meta| meta.len);
    result.extend_to(length as usize)?;
    context.shared.reserve_value(PIECE as usize)?;
    let operation = match operation {
        Operation::And if is_first => Operation::Or,
        operation => operation,
    };
    for (number, bytes) in result.bytes().chunks_mut(PIECE as usize).enumerate() {
        let piece = &mut context.shared.value;
        piece.clear();
        if (number as u64) * PIECE < length {
            context.turn.get_range(source, number as u64 * PIECE, PIECE, piece)?;
        }
        piece.resize(bytes.len(), 0);
        operation.apply(bytes, piece);
    }
    Ok(())
}
