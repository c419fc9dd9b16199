//! `COMMAND`: the table, told to clients.

mod describe;
mod document;
mod getkeys;
mod list;
#[cfg(test)]
mod tests;

use describe::describe;
use document::entry;
pub use getkeys::{getkeys, getkeysandflags};
pub use list::list;
use pmem::Medium;

use crate::budget;
use crate::commands::failure::Outcome;
use crate::commands::help::reply_help;
use crate::commands::table::Command;
use crate::commands::{Context, Request};

/// `COMMAND`
pub fn command<M: Medium + 'static>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.array(Command::<M>::TABLE.len());
    for command in Command::<M>::TABLE {
        describe(&mut context.reply, command);
    }
    Ok(())
}

/// `COMMAND COUNT`
pub fn count<M: Medium + 'static>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.integer(Command::<M>::TABLE.len() as i64);
    Ok(())
}

/// `COMMAND INFO [command ...]`
pub fn info<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len() == 2 {
        return command(context, request);
    }
    let start = context.reply_start();
    context.reply.array(request.len() - 2);
    for name in request.from(2) {
        match Command::<M>::fully_named(name) {
            Some(command) => describe(&mut context.reply, command),
            None => context.reply.null(),
        }
        expect_room(context, start)?;
    }
    Ok(())
}

/// `COMMAND DOCS [command ...]`
pub fn docs<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let all = if request.len() == 2 { Command::<M>::TABLE } else { &[] };
    let found = || all.iter().chain(request.from(2).filter_map(Command::<M>::fully_named));
    let start = context.reply_start();
    context.reply.map(found().count());
    for command in found() {
        entry(&mut context.reply, command);
        expect_room(context, start)?;
    }
    Ok(())
}

/// Counts a part of a reply that began at `start`, and ends it if it has become too long or finds no memory: a short
/// word may ask for a long part, and a request has very many words.
fn expect_room<M: Medium>(context: &mut Context<'_, '_, M>, start: usize) -> Outcome {
    context.budget.charge(budget::KEY);
    context.check_reply(start)?;
    Ok(context.reply.check()?)
}

/// `COMMAND HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "COMMAND",
        &[
            ("(no subcommand)", "Return details about all Redis commands."),
            ("COUNT", "Return the total number of commands in this Redis server."),
            ("LIST", "Return a list of all commands in this Redis server."),
            (
                "INFO [<command-name> ...]",
                "Return details about multiple Redis commands.\n\
                 If no command names are given, documentation details for all\n\
                 commands are returned.",
            ),
            (
                "DOCS [<command-name> ...]",
                "Return documentation details about multiple Redis commands.\n\
                 If no command names are given, documentation details for all\n\
                 commands are returned.",
            ),
            ("GETKEYS <full-command>", "Return the keys from a full Redis command."),
            ("GETKEYSANDFLAGS <full-command>", "Return the keys and the access flags from a full Redis command."),
        ],
    );
    Ok(())
}
