//! Walking through the keys.

use pmem::Medium;

use super::arguments::{Options, integer, is};
use super::failure::{Failure, Outcome, REPLY_TOO_LONG, SYNTAX};
use super::{Context, Request};
use crate::glob;
use crate::number;

/// Keys that `KEYS` asks the pool for at a time.
const STEP: usize = 1024;
/// Most keys that one `SCAN` looks at, whatever its COUNT: the server has other clients.
const MOST: usize = 1 << 20;

/// Empty answers of the pool that one `SCAN` passes over.
const EMPTY: usize = 16;

/// `KEYS pattern`
pub fn keys<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let pattern = request.get(1);
    let start = context.reply.position();
    let (mut cursor, mut found) = (0, 0);
    loop {
        let (next, more) = walk(context, cursor, STEP, |key| glob::matches(pattern, key))?;
        found += more;
        if context.reply.position() > context.state.limits.reply {
            return Err(REPLY_TOO_LONG);
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    context.reply.before(start, |reply| reply.array(found));
    Ok(())
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let cursor = number::unsigned(request.get(1)).ok_or(Failure::text("ERR invalid cursor"))?;
    let (mut options, mut pattern, mut count, mut strings) = (Options::new(request, 2), None, 10, true);
    while let Some(option) = options.next() {
        if is(option, "COUNT") {
            count = integer(options.value()?)?;
            if count < 1 {
                return Err(SYNTAX);
            }
        } else if is(option, "MATCH") {
            pattern = Some(options.value()?);
        } else if is(option, "TYPE") {
            strings = is(options.value()?, "string");
        } else {
            return Err(SYNTAX);
        }
    }
    let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
    let start = context.reply.position();
    let wanted = |key: &[u8]| strings && pattern.is_none_or(|pattern| glob::matches(pattern, key));
    // The pool may come back early from a part of its table that is empty: go on a little, to answer with something.
    let (mut next, mut found) = walk(context, cursor, count, wanted)?;
    for _ in 0..EMPTY {
        if found > 0 || next == 0 {
            break;
        }
        (next, found) = walk(context, next, count, wanted)?;
    }
    if context.reply.position() > context.state.limits.reply {
        return Err(REPLY_TOO_LONG);
    }
    context.reply.before(start, |reply| {
        reply.array(2);
        reply.bulk(next.to_string().as_bytes());
        reply.array(found);
    });
    Ok(())
}

/// Replies with the living keys among the next `count` that are `wanted`; returns the next cursor and how many.
fn walk<M: Medium>(
    context: &mut Context<'_, '_, M>,
    cursor: u64,
    count: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<(u64, usize), Failure> {
    let mut found = 0;
    let (reply, state) = (&mut context.reply, &*context.state);
    let next = context.turn.scan(cursor, count, |key, meta| {
        if !state.expired(meta) && wanted(key) {
            reply.bulk(key);
            found += 1;
        }
    })?;
    Ok((next, found))
}
