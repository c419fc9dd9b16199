//! Reading and writing strings.

use pmem::{Medium, Op, ValueType};

use crate::commands::arguments::integer;
use crate::commands::failure::{Failure, NO_MEMORY, Outcome, TOO_LONG};
use crate::commands::lookup::is_string;
use crate::commands::{Context, Request};

/// `GET key`
pub fn get<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    context.reply_value_or_null(request.get(1))?;
    Ok(())
}

/// `GETDEL key`
pub fn getdel<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if context.reply_value_or_null(request.get(1))?.is_some() {
        context.turn.remove(request.get(1))?;
    }
    Ok(())
}

/// `GETSET key value`
pub fn getset<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    context.reply_value_or_null(request.get(1))?;
    context.put(request.get(1), request.get(2), None)
}

/// `SETNX key value`
pub fn setnx<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let missing = !context.exists(request.get(1))?;
    if missing {
        context.put(request.get(1), request.get(2), None)?;
    }
    context.reply.flag(missing);
    Ok(())
}

/// `MGET key [key ...]`
pub fn mget<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let start = context.reply_start();
    let read = context.in_pieces(request, 1, |context, _, keys| {
        if !context.reply_value(request.get(keys.start))?.as_ref().is_some_and(is_string) {
            context.reply.null();
        }
        context.check_reply(start)
    })?;
    context.collected(read, start, |reply, _| reply.array(request.len() - 1));
    Ok(())
}

/// `MSET key value [key value ...]`, all or nothing
pub fn mset<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    set_pairs(context, request, "mset")?;
    context.reply.ok();
    Ok(())
}

/// `MSETNX key value [key value ...]`, all or nothing
pub fn msetnx<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len().is_multiple_of(2) {
        return Err(Failure::arity("msetnx"));
    }
    for key in request.from(1).step_by(2) {
        if context.exists(key)? {
            context.reply.flag(false);
            return Ok(());
        }
    }
    set_pairs(context, request, "msetnx")?;
    context.reply.flag(true);
    Ok(())
}

fn set_pairs<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, name: &str) -> Outcome {
    if request.len().is_multiple_of(2) {
        return Err(Failure::arity(name));
    }
    let pairs = request.from(1).step_by(2).zip(request.from(2).step_by(2));
    let mut puts: Vec<Op<'_>> = Vec::new();
    puts.try_reserve_exact(request.len() / 2).map_err(|_| NO_MEMORY)?;
    puts.extend(pairs.map(|(key, value)| Op::Put { key, value, value_type: ValueType::STRING, expires_at_ms: None }));
    Ok(context.turn.atomically(&puts)?)
}

/// `APPEND key value`
pub fn append<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (key, suffix) = (request.get(1), request.get(2));
    let Some(meta) = context.find_string(key)? else {
        context.put(key, suffix, None)?;
        context.reply.integer(suffix.len() as i64);
        return Ok(());
    };
    if meta.len + suffix.len() as u64 > context.shared.limits.parser.argument as u64 {
        return Err(TOO_LONG);
    }
    let length = context.turn.append(key, suffix)?;
    context.reply.integer(length as i64);
    Ok(())
}

/// `STRLEN key`
pub fn strlen<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let length = context.look_string(request.get(1))?.map_or(0, |meta| meta.len);
    context.reply.integer(length as i64);
    Ok(())
}

/// `GETRANGE key start end`
pub fn getrange<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(1);
    let (start, end) = (integer(request.get(2))?, integer(request.get(3))?);
    let length = context.look_string(key)?.map_or(0, |meta| meta.len) as i64;
    // From the end, if negative; before the beginning is the beginning.
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (first, last) = (place(start), place(end).min(length - 1));
    if start < 0 && end < 0 && start > end || first > last {
        context.reply.bulk(b"");
        return Ok(());
    }
    let (first, length) = (first as u64, (last - first + 1) as u64);
    context.reply.bulk_from(|at, most, out| {
        let found = context.turn.get_range(key, first + at, most.min(length - at), out)?;
        Ok::<_, Failure>(found.map(|_| length))
    })?;
    Ok(())
}

/// `SETRANGE key offset value`
pub fn setrange<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (key, patch) = (request.get(1), request.get(3));
    let Ok(offset) = usize::try_from(integer(request.get(2))?) else {
        return Err(Failure::text("ERR offset is out of range"));
    };
    let length = context.find_string(key)?.map_or(0, |meta| meta.len);
    if patch.is_empty() {
        context.reply.integer(length as i64);
        return Ok(());
    }
    let end = offset.saturating_add(patch.len());
    if end > context.shared.limits.parser.argument {
        return Err(TOO_LONG);
    }
    let length = context.overwrite(key, offset, patch)?;
    context.reply.integer(length as i64);
    Ok(())
}
