//! Strings that are numbers.

use pmem::{Medium, ValueType};

use crate::commands::arguments::integer;
use crate::commands::failure::{Failure, NOT_A_FLOAT, NOT_AN_INTEGER, Outcome};
use crate::commands::{Context, Request};
use crate::number::{self, Extended};

/// `INCR key`
pub fn incr<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    add(context, request.get(1), 1)
}

/// `DECR key`
pub fn decr<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    add(context, request.get(1), -1)
}

/// `INCRBY key increment`
pub fn incrby<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    add(context, request.get(1), integer(request.get(2))?)
}

/// `DECRBY key decrement`
pub fn decrby<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let by = integer(request.get(2))?.checked_neg().ok_or(Failure::text("ERR decrement would overflow"))?;
    add(context, request.get(1), by)
}

fn add<M: Medium>(context: &mut Context<'_, '_, M>, key: &[u8], by: i64) -> Outcome {
    let found = context.read_string(key)?;
    let old = match found {
        Some(_) => number::integer(&context.shared.value).ok_or(NOT_AN_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Failure::text("ERR increment or decrement would overflow"))?;
    let mut digits = [0; number::DIGITS];
    context.put(key, number::format(new, &mut digits), found.and_then(|meta| meta.expires_at_ms))?;
    context.reply.integer(new);
    Ok(())
}

/// `INCRBYFLOAT key increment`
pub fn incrbyfloat<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(1);
    let found = context.read_string(key)?;
    let old = if found.is_some() { &context.shared.value[..] } else { b"0" };
    let old = Extended::parse(old).ok_or(NOT_A_FLOAT)?;
    let by = Extended::parse(request.get(2)).ok_or(NOT_A_FLOAT)?;
    let new = old.add(by).ok_or(Failure::text("ERR increment would produce NaN or Infinity"))?;
    context.shared.value.clear();
    new.write(&mut context.shared.value);
    context.reply.bulk(&context.shared.value);
    context.reply.check()?;
    context.put_value(key, ValueType::STRING, found.and_then(|meta| meta.expires_at_ms))
}
