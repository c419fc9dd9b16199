//! `CLIENT`: what a client says of itself.

use pmem::Medium;

use super::arguments::is;
use super::failure::{Failure, Outcome};
use super::{Context, Request};
use crate::resp::Protocol;

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

/// `CLIENT INFO`
pub fn info<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let (session, state) = (&*context.session, &*context.state);
    let text = format!(
        "id={} addr={} laddr={}:{} name={} age={} idle={} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 cmd={} \
         user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
        session.id,
        session.address,
        state.facts.bind,
        state.facts.port,
        String::from_utf8_lossy(&session.name),
        state.now_ms.saturating_sub(session.since_ms) / 1000,
        state.now_ms.saturating_sub(session.active_ms) / 1000,
        session.command,
        if session.protocol == Protocol::Resp3 { 3 } else { 2 },
        String::from_utf8_lossy(&session.library),
        String::from_utf8_lossy(&session.library_version),
    );
    context.reply.text(&text);
    Ok(())
}

/// `CLIENT HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    super::introspection::reply_help(
        &mut context.reply,
        "CLIENT",
        &[
            ("GETNAME", "Return the name of the current connection."),
            ("ID", "Return the ID of the current connection."),
            ("INFO", "Return information about the current client connection."),
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

/// Names are shown in lists, separated by spaces.
fn printable(text: &[u8]) -> Option<&[u8]> {
    text.iter().all(u8::is_ascii_graphic).then_some(text)
}
