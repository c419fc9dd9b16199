//! Commands about the server.

use pmem::Medium;

use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::{Context, Request};
use crate::session::Closing;

/// `TIME`
pub fn time<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let now = context.shared.now_us;
    context.reply.array(2);
    context.reply.bulk((now / 1_000_000).to_string().as_bytes());
    context.reply.bulk((now % 1_000_000).to_string().as_bytes());
    Ok(())
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`: what has been acknowledged is durable, so that all ways to stop
/// are the same. The client is answered by the end of its connection.
pub fn shutdown<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for option in request.from(1) {
        match option {
            _ if is(option, "SAVE") => save = true,
            _ if is(option, "NOSAVE") => nosave = true,
            _ if is(option, "NOW") || is(option, "FORCE") => other = true,
            _ if is(option, "ABORT") => abort = true,
            _ => return Err(SYNTAX),
        }
    }
    if save && nosave || abort && (save || nosave || other) {
        return Err(SYNTAX);
    }
    if abort {
        return Err(Failure::text("ERR No shutdown in progress."));
    }
    context.shared.stopping = true;
    context.session.closing = Some(Closing::AfterReplies);
    Ok(())
}
