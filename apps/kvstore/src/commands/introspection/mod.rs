//! `COMMAND`: the table, told to clients.

mod describe;
mod document;

use describe::describe;
use document::document;
use pmem::Medium;

use super::arguments::is;
use super::failure::{Failure, Outcome, SYNTAX};
use super::table::Command;
use super::{Context, Request};
use crate::glob;
use crate::resp::Reply;

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
    context.reply.array(request.len() - 2);
    for name in request.from(2) {
        match Command::<M>::named(name) {
            Some(command) => describe(&mut context.reply, command),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// `COMMAND DOCS [command ...]`
pub fn docs<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let found: Vec<&Command<M>> = match request.len() {
        2 => Command::<M>::TABLE.iter().collect(),
        _ => request.from(2).filter_map(Command::<M>::named).collect(),
    };
    document(&mut context.reply, found.into_iter());
    Ok(())
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub fn list<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let filter = match request.len() {
        2 => Filter::None,
        5 if is(request.get(2), "FILTERBY") => Filter::parse(request.get(3), request.get(4))?,
        _ => return Err(SYNTAX),
    };
    let every = Command::<M>::TABLE.iter().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    let found: Vec<&Command<M>> = every.filter(|command| filter.admits(command)).collect();
    context.reply.set(found.len());
    for command in found {
        context.reply.bulk(command.full_name.as_bytes());
    }
    Ok(())
}

/// Which commands `COMMAND LIST` shows.
enum Filter {
    None,
    /// Those of a module: there are no modules.
    Module,
    /// Those of a category, named without its `@`.
    Category(Vec<u8>),
    /// Those whose name matches, in lower case.
    Pattern(Vec<u8>),
}

impl Filter {
    fn parse(kind: &[u8], argument: &[u8]) -> Result<Self, Failure> {
        match kind {
            _ if is(kind, "MODULE") => Ok(Self::Module),
            _ if is(kind, "ACLCAT") => Ok(Self::Category(argument.to_ascii_lowercase())),
            _ if is(kind, "PATTERN") => Ok(Self::Pattern(argument.to_ascii_lowercase())),
            _ => Err(SYNTAX),
        }
    }

    fn admits<M: Medium>(&self, command: &Command<M>) -> bool {
        match self {
            Self::None => true,
            Self::Module => false,
            Self::Category(category) => command.flags.categories().any(|name| name.as_bytes()[1..] == category[..]),
            Self::Pattern(pattern) => glob::matches(pattern, command.full_name.as_bytes()),
        }
    }
}

/// `COMMAND GETKEYS command [argument ...]`
pub fn getkeys<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let command = Command::<M>::named(request.get(2)).ok_or(Failure::text("ERR Invalid command specified"))?;
    let count = request.len() - 2;
    if command.key_specs.is_empty() {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    if !command.takes(count) {
        return Err(Failure::text("ERR Invalid number of arguments specified for command"));
    }
    let keys = command.key_specs.iter().flat_map(|spec| spec.keys(count));
    context.reply.array(keys.clone().count());
    for at in keys {
        context.reply.bulk(request.get(2 + at));
    }
    Ok(())
}

/// `COMMAND HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "COMMAND",
        &[
            ("(no subcommand)", "Return details about all commands."),
            ("COUNT", "Return the total number of commands."),
            ("DOCS [<command-name> ...]", "Return documentation about commands."),
            ("GETKEYS <full-command>", "Return the keys from a full command."),
            ("INFO [<command-name> ...]", "Return details about commands."),
            ("LIST [FILTERBY <filter>]", "Return a list of all commands."),
        ],
    );
    Ok(())
}

/// The reply of a container's `HELP`, in Redis's form.
pub fn reply_help(reply: &mut Reply<'_>, container: &str, lines: &[(&str, &str)]) {
    let help = [("HELP", "Print this help.")];
    reply.array(1 + 2 * (lines.len() + 1));
    reply.status(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (name, text) in lines.iter().chain(&help) {
        reply.status(name);
        reply.status(&format!("    {text}"));
    }
}
