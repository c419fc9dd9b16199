//! `CLIENT`: what a client says of itself, and what it may know of the others and do to them.

mod kill;
mod list;
#[cfg(test)]
mod tests;

use pmem::Medium;

use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::help::reply_help;
use crate::commands::{Context, Request};
use crate::session::Hearing;

pub use kill::kill;
pub use list::{info, list};

/// `CLIENT ID`
pub fn id<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.integer(context.session.id as i64);
    Ok(())
}

/// `CLIENT GETNAME`
pub fn getname<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    match &context.session.name[..] {
        b"" => context.reply.null(),
        name => context.reply.bulk(name),
    }
    Ok(())
}

/// `CLIENT SETNAME name`
pub fn setname<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    context.session.name = checked_name(request.get(2))?.to_vec();
    context.reply.ok();
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version` (of Redis 7.2: current client libraries send it)
pub fn setinfo<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (option, value) = (request.get(2), request.get(3));
    let checked = |name| {
        printable(value)
            .ok_or(Failure::owned(format!("ERR {name} cannot contain spaces, newlines or special characters.")))
    };
    if is(option, "LIB-NAME") {
        context.session.library = checked("lib-name")?.to_vec();
    } else if is(option, "LIB-VER") {
        context.session.library_version = checked("lib-ver")?.to_vec();
    } else {
        return Err(Failure::owned([b"ERR Unrecognized option '", option, b"'"].concat()));
    }
    context.reply.ok();
    Ok(())
}

/// `CLIENT REPLY ON | OFF | SKIP`
pub fn reply<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let hearing = &mut context.session.hearing;
    match request.get(2) {
        mode if is(mode, "ON") => {
            *hearing = Hearing::All;
            context.reply.ok();
        }
        mode if is(mode, "OFF") => *hearing = Hearing::Nothing,
        mode if is(mode, "SKIP") && *hearing == Hearing::Nothing => {}
        mode if is(mode, "SKIP") => *hearing = Hearing::NotTheNext,
        _ => return Err(SYNTAX),
    }
    Ok(())
}

/// `CLIENT NO-EVICT ON | OFF`
pub fn no_evict<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    context.session.no_evict = match request.get(2) {
        mode if is(mode, "ON") => true,
        mode if is(mode, "OFF") => false,
        _ => return Err(SYNTAX),
    };
    context.reply.ok();
    Ok(())
}

/// `CLIENT HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "CLIENT",
        &[
            ("GETNAME", "Return the name of the current connection."),
            ("ID", "Return the ID of the current connection."),
            ("INFO", "Return information about the current client connection."),
            ("KILL <ip:port>", "Kill connection made from <ip:port>."),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                "Kill connections. Options are: ADDR, LADDR, TYPE, USER, ID, SKIPME (default: yes).",
            ),
            ("LIST [TYPE <type> | ID <id> [<id> ...]]", "Return information about client connections."),
            ("NO-EVICT (ON|OFF)", "Let other clients be evicted before the current one."),
            ("REPLY (ON|OFF|SKIP)", "Control the replies sent to the current connection."),
            ("SETINFO <option> <value>", "Set client meta attr. Options are: lib-name, lib-ver."),
            ("SETNAME <name>", "Assign the name <name> to the current connection."),
        ],
    );
    Ok(())
}

/// A connection's name, if it may be one.
pub fn checked_name(name: &[u8]) -> Result<&[u8], Failure> {
    printable(name).ok_or(Failure::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Names are shown in lists, separated by spaces. Redis takes longer ones; here they are kept in the part of memory
/// that has no bound of its own.
fn printable(text: &[u8]) -> Option<&[u8]> {
    const LONGEST: usize = 1024;
    (text.len() <= LONGEST && text.iter().all(u8::is_ascii_graphic)).then_some(text)
}

/// Whether a client is of the type that a filter names. All of ours are normal.
fn is_of_type(name: &[u8]) -> Result<bool, Failure> {
    match ["normal", "slave", "replica", "pubsub", "master"].iter().position(|known| is(name, known)) {
        Some(at) => Ok(at == 0),
        None => Err(Failure::owned([b"ERR Unknown client type '", name, b"'"].concat())),
    }
}
