//! Commands about the connection itself.

use pmem::Medium;

use super::client;
use crate::commands::arguments::{RequestOptions, integer, is, small_integer};
use crate::commands::failure::{Failure, NO_SUCH_DATABASE, Outcome};
use crate::commands::version::REDIS_VERSION;
use crate::commands::{Context, Request};
use crate::resp::Protocol;
use crate::session::{Closing, Hearing, Multi};

/// `PING [message]`
pub fn ping<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match request.len() {
        1 => context.reply.status("PONG"),
        2 => context.reply.bulk(request.get(1)),
        _ => return Err(Failure::arity("ping")),
    }
    Ok(())
}

/// `ECHO message`
pub fn echo<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    context.reply.bulk(request.get(1));
    Ok(())
}

/// `SELECT index`
pub fn select<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match small_integer(request.get(1))? {
        0 => context.reply.ok(),
        _ => return Err(NO_SUCH_DATABASE),
    }
    Ok(())
}

/// `QUIT`
pub fn quit<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.session.closing = Some(Closing::AfterReplies);
    context.reply.ok();
    Ok(())
}

/// `RESET`
pub fn reset<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.session.name.clear();
    context.session.multi = Multi::None;
    if context.session.hearing != Hearing::NotThis {
        context.session.hearing = Hearing::All;
    }
    set_protocol(context, Protocol::Resp2);
    context.reply.status("RESET");
    Ok(())
}

/// `AUTH [username] password`: there is one user, `default`, and it has no password.
pub fn auth<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    const NO_PASSWORD: Failure = Failure::text(
        "ERR AUTH <password> called without any password configured for the default user. \
         Are you sure your configuration is correct?",
    );
    match request.len() {
        2 => return Err(NO_PASSWORD),
        3 => check_user(request.get(1))?,
        _ => return Err(crate::commands::failure::SYNTAX),
    }
    context.reply.ok();
    Ok(())
}

/// A user without a password is let in with any, as in Redis.
fn check_user(name: &[u8]) -> Result<(), Failure> {
    match name {
        b"default" => Ok(()),
        _ => Err(Failure::text("WRONGPASS invalid username-password pair or user is disabled.")),
    }
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub fn hello<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    const NO_VERSION: Failure = Failure::text("ERR Protocol version is not an integer or out of range");
    let mut options = RequestOptions::new(request, 1);
    let protocol = match options.next().map(|version| integer(version).map_err(|_| NO_VERSION)).transpose()? {
        None => context.session.protocol,
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        Some(_) => return Err(Failure::text("NOPROTO unsupported protocol version")),
    };
    while let Some(option) = options.next() {
        let unknown = || Failure::owned([b"ERR Syntax error in HELLO option '", option, b"'"].concat());
        if is(option, "AUTH") {
            let (user, _password) = (options.next().ok_or_else(unknown)?, options.next().ok_or_else(unknown)?);
            check_user(user)?;
        } else if is(option, "SETNAME") {
            context.session.name = client::checked_name(options.next().ok_or_else(unknown)?)?.to_vec();
        } else {
            return Err(unknown());
        }
    }
    set_protocol(context, protocol);
    let id = context.session.id;
    let reply = &mut context.reply;
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn set_protocol<M: Medium>(context: &mut Context<'_, '_, M>, protocol: Protocol) {
    context.session.protocol = protocol;
    context.reply.set_protocol(protocol);
}
