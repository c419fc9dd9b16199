//! Transactions, which do not exist yet: what is meant to run as one does not run at all.
//!
//! Clients send `MULTI`, the commands and `EXEC` in one piece. All of them know commands that are refused before
//! `EXEC`, which then discards the transaction, but not all know what to do when `MULTI` itself fails: some would read
//! the other replies as answers to what they ask next. So a transaction can be begun, and every command in it is
//! refused. These words are not in the command table, since `COMMAND` tells clients what they can use.

use pmem::Medium;

use super::arguments::is;
use super::failure::{Failure, Outcome};
use super::{Context, Request};
use crate::session::{Multi, Session};

const NOT_EXECUTED: Failure =
    Failure::text("ERR not executed: there are no transactions yet, send DISCARD and the commands without MULTI");
const NO_WATCHES: Failure = Failure::text("ERR WATCH is not supported: there are no transactions yet");
const ABORTED: Failure = Failure::text("EXECABORT Transaction discarded because of previous errors.");

/// The answer to a word of transactions, and to everything inside one. `None`: the request is to be executed.
pub fn answer<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Option<Outcome> {
    let name = request.get(0);
    let Some(word) = ["multi", "exec", "discard", "watch", "unwatch"].into_iter().find(|word| is(name, word)) else {
        let inside = context.session.multi != Multi::None && !is(name, "QUIT") && !is(name, "RESET");
        return inside.then(|| refuse(context, NOT_EXECUTED));
    };
    let takes = if word == "watch" { request.len() > 1 } else { request.len() == 1 };
    Some(if takes { obey(context, word) } else { refuse(context, Failure::arity(word)) })
}

/// Refuses a request.
fn refuse<M: Medium>(context: &mut Context<'_, '_, M>, why: Failure) -> Outcome {
    spoil(context.session);
    Err(why)
}

/// A request has been refused: a transaction that it is in is discarded by `EXEC`.
pub fn spoil(session: &mut Session) {
    if session.multi == Multi::Begun {
        session.multi = Multi::Refused;
    }
}

fn obey<M: Medium>(context: &mut Context<'_, '_, M>, word: &str) -> Outcome {
    let multi = std::mem::take(&mut context.session.multi);
    match (word, multi) {
        ("exec", Multi::Refused) => Err(ABORTED),
        ("exec", Multi::Begun) => {
            context.reply.array(0);
            Ok(())
        }
        ("discard", Multi::Begun | Multi::Refused) => {
            context.reply.ok();
            Ok(())
        }
        ("exec" | "discard", Multi::None) => {
            Err(Failure::owned(format!("ERR {} without MULTI", word.to_ascii_uppercase())))
        }
        ("multi", Multi::None) => {
            context.session.multi = Multi::Begun;
            context.reply.ok();
            Ok(())
        }
        (_, Multi::None) => Err(NO_WATCHES),
        (_, inside) => {
            context.session.multi = inside;
            match word {
                "multi" => Err(Failure::text("ERR MULTI calls can not be nested")),
                "watch" => Err(Failure::text("ERR WATCH inside MULTI is not allowed")),
                _ => refuse(context, NOT_EXECUTED),
            }
        }
    }
}
