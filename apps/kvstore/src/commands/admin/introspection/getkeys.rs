//! `COMMAND GETKEYS` and `COMMAND GETKEYSANDFLAGS`: which arguments of a request are keys.

use pmem::Medium;

use super::describe::statuses;
use super::expect_room;
use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome};
use crate::commands::key_specs::KeySpec;
use crate::commands::table::Command;
use crate::commands::{Context, Request};

/// Where the request that is asked about begins.
const START: usize = 2;

/// `COMMAND GETKEYS command [argument ...]`
pub fn getkeys<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let keys = keys::<M>(request)?;
    let start = context.reply_start();
    context.reply.array(keys.clone().count());
    for (_, at) in keys {
        context.reply.bulk(request.get(START + at));
        expect_room(context, start)?;
    }
    Ok(())
}

/// `COMMAND GETKEYSANDFLAGS command [argument ...]`
pub fn getkeysandflags<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let keys = keys::<M>(request)?;
    let start = context.reply_start();
    context.reply.array(keys.clone().count());
    for (spec, at) in keys {
        context.reply.array(2);
        context.reply.bulk(request.get(START + at));
        statuses(&mut context.reply, flags(spec, request).iter().copied());
        expect_room(context, start)?;
    }
    Ok(())
}

/// The keys' places, and what finds them.
fn keys<M: Medium + 'static>(
    request: Request<'_>,
) -> Result<impl Iterator<Item = (&'static KeySpec, usize)> + Clone + use<M>, Failure> {
    let next = (request.len() > START + 1).then(|| request.get(START + 1));
    let command =
        Command::<M>::called(request.get(START), next).ok_or(Failure::text("ERR Invalid command specified"))?;
    if command.key_specs.is_empty() {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    let count = request.len() - START;
    if !command.takes(count) {
        return Err(Failure::text("ERR Invalid number of arguments specified for command"));
    }
    Ok(command.key_specs.iter().flat_map(move |spec| spec.keys(count).map(move |at| (spec, at))))
}

/// What becomes of a key: that of `SET` and of `BITFIELD` depends on the options.
fn flags(spec: &KeySpec, request: Request<'_>) -> &'static [&'static str] {
    const READ: &[&str] = &["RO", "access"];
    const READ_AND_WRITTEN: &[&str] = &["RW", "access", "update"];
    const OVERWRITTEN: &[&str] = &["OW", "update"];
    if !spec.flags.contains(&"variable_flags") {
        return spec.flags;
    }
    let only_read = || bitfield_only_reads(request);
    match is(request.get(START), "SET") {
        true if request.from(START + 3).any(|option| is(option, "GET")) => READ_AND_WRITTEN,
        true => OVERWRITTEN,
        false if only_read() => READ,
        false => READ_AND_WRITTEN,
    }
}

/// Whether a `BITFIELD` that can be understood changes nothing.
fn bitfield_only_reads(request: Request<'_>) -> bool {
    let mut at = START + 2;
    while at < request.len() {
        let left = request.len() - at - 1;
        at += match request.get(at) {
            word if is(word, "GET") && left >= 2 => 3,
            word if is(word, "OVERFLOW") && left >= 1 => 2,
            _ => return false,
        };
    }
    true
}
