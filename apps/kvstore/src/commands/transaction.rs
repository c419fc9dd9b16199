//! Transactions, which do not exist yet: what was meant to run as one does not run at all.
//!
//! Clients send `MULTI`, the commands behind it and `EXEC` in one piece, and take an error at `MULTI` for a sign that
//! nothing has happened. So nothing behind a refused `MULTI` is executed until the client ends the transaction. These
//! words are not in the command table, since `COMMAND` tells clients what they can use.

use pmem::Medium;

use super::arguments::is;
use super::failure::{Failure, Outcome};
use super::{Context, Request};

const NO_TRANSACTIONS: Failure = Failure::text(
    "ERR MULTI is not supported: there are no transactions yet, and nothing is executed before EXEC or DISCARD",
);
const NO_WATCHES: Failure = Failure::text("ERR WATCH is not supported: there are no transactions yet");
const NOT_EXECUTED: Failure =
    Failure::text("ERR not executed: MULTI was refused, and only EXEC or DISCARD ends what it began");
const ABORTED: Failure = Failure::text("EXECABORT Transaction discarded because of previous errors.");

/// The answer to a word of transactions, and to everything that stands inside a refused one. `None`: the request is to
/// be executed.
pub fn answer<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Option<Outcome> {
    let name = request.get(0);
    let Some(word) = ["multi", "exec", "discard", "watch", "unwatch"].into_iter().find(|word| is(name, word)) else {
        let inside = context.session.multi_refused && !is(name, "QUIT") && !is(name, "RESET");
        return inside.then_some(Err(NOT_EXECUTED));
    };
    let takes = if word == "watch" { request.len() > 1 } else { request.len() == 1 };
    Some(if takes { obey(context, word) } else { Err(Failure::arity(word)) })
}

fn obey<M: Medium>(context: &mut Context<'_, '_, M>, word: &str) -> Outcome {
    let refused = &mut context.session.multi_refused;
    let failure = match (word, *refused) {
        ("multi", true) => Failure::text("ERR MULTI calls can not be nested"),
        ("multi", false) => {
            *refused = true;
            NO_TRANSACTIONS
        }
        ("exec", true) => {
            *refused = false;
            ABORTED
        }
        ("exec", false) => Failure::text("ERR EXEC without MULTI"),
        ("discard", true) => {
            *refused = false;
            context.reply.ok();
            return Ok(());
        }
        ("discard", false) => Failure::text("ERR DISCARD without MULTI"),
        ("watch", true) => Failure::text("ERR WATCH inside MULTI is not allowed"),
        (_, true) => NOT_EXECUTED,
        (_, false) => NO_WATCHES,
    };
    Err(failure)
}
