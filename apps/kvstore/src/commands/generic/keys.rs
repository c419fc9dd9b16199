//! Commands on whole keys.

use std::collections::BTreeSet;

use pmem::{Medium, Meta, Op};

use crate::budget;
use crate::commands::arguments::{RequestOptions, is, small_integer};
use crate::commands::failure::{Failure, NO_SUCH_DATABASE, NO_SUCH_KEY, Outcome, SYNTAX};
use crate::commands::lookup::type_name;
use crate::commands::{Context, Request};

/// Keys that `DEL` removes in one step.
const REMOVED: usize = 4096;
/// Keys that `EXISTS` looks for before it looks at the budget.
const LOOKED: usize = 64;

/// `DEL key [key ...]`, `UNLINK key [key ...]`: all or nothing, if they are not more than one step removes
pub fn del<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let removed = context.in_pieces(request, REMOVED, |context, task, keys| {
        task.count += context.remove_all(request.from(keys.start).take(keys.len()))?;
        Ok(())
    })?;
    if let Some(task) = removed {
        context.reply.integer(task.count as i64);
    }
    Ok(())
}

/// `EXISTS key [key ...]`, `TOUCH key [key ...]`
pub fn exists<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let found = context.in_pieces(request, LOOKED, |context, task, keys| {
        for key in keys {
            task.count += usize::from(context.look(request.get(key))?.is_some());
        }
        Ok(())
    })?;
    if let Some(task) = found {
        context.reply.integer(task.count as i64);
    }
    Ok(())
}

/// `TYPE key`
pub fn r#type<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let found = context.find(request.get(1))?;
    context.reply.status(found.map_or("none", type_name));
    Ok(())
}

/// `RENAME key newkey`
pub fn rename<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (from, to) = (request.get(1), request.get(2));
    let meta = context.read(from)?.ok_or(NO_SUCH_KEY)?;
    if from != to {
        move_value(context, from, to, meta)?;
    }
    context.reply.ok();
    Ok(())
}

/// `RENAMENX key newkey`
pub fn renamenx<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (from, to) = (request.get(1), request.get(2));
    let meta = context.read(from)?.ok_or(NO_SUCH_KEY)?;
    let free = !context.exists(to)?;
    if free {
        move_value(context, from, to, meta)?;
    }
    context.reply.flag(free);
    Ok(())
}

/// Stores what was read of `from` under `to`, and `from` is gone: in one step.
fn move_value<M: Medium>(context: &mut Context<'_, '_, M>, from: &[u8], to: &[u8], meta: Meta) -> Outcome {
    let value = &context.shared.value;
    let Meta { value_type, expires_at_ms, .. } = meta;
    let put = Op::Put { key: to, value, value_type, expires_at_ms };
    Ok(context.turn.atomically(&[put, Op::Remove { key: from }])?)
}

/// `COPY source destination [DB index] [REPLACE]`
pub fn copy<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (from, to) = (request.get(1), request.get(2));
    let (mut options, mut replace) = (RequestOptions::new(request, 3), false);
    while let Some(option) = options.next() {
        if is(option, "REPLACE") {
            replace = true;
        } else if is(option, "DB") {
            if small_integer(options.value()?)? != 0 {
                return Err(NO_SUCH_DATABASE);
            }
        } else {
            return Err(SYNTAX);
        }
    }
    if from == to {
        return Err(Failure::text("ERR source and destination objects are the same"));
    }
    let copied = match context.read(from)? {
        Some(meta) if replace || !context.exists(to)? => {
            context.put_value(to, meta.value_type, meta.expires_at_ms)?;
            true
        }
        _ => false,
    };
    context.reply.flag(copied);
    Ok(())
}

/// `RANDOMKEY`: draws until a key is alive. The expired ones that were drawn are removed together, and if there are
/// many it goes on in the next turn.
pub fn randomkey<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let task = context.resume();
    let (mut key, mut expired) = (Vec::new(), BTreeSet::new());
    let drawn = loop {
        key.clear();
        let seed = context.shared.random();
        match context.turn.random(seed, &mut key)? {
            Some(meta) if context.shared.expired(meta) => {
                expired.insert(key.clone());
            }
            found => break found.is_some(),
        }
        if context.worked(budget::KEY) {
            context.remove_expired(expired)?;
            context.pause(task);
            return Ok(());
        }
    };
    context.remove_expired(expired)?;
    match drawn {
        true => context.reply.bulk(&key),
        false => context.reply.null(),
    }
    Ok(())
}

/// `DBSIZE`
pub fn dbsize<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.integer(context.turn.len()? as i64);
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`, `FLUSHALL [ASYNC | SYNC]`
pub fn flush<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len() > 2 || request.len() == 2 && !is(request.get(1), "ASYNC") && !is(request.get(1), "SYNC") {
        return Err(SYNTAX);
    }
    context.turn.clear()?;
    context.reply.ok();
    Ok(())
}
