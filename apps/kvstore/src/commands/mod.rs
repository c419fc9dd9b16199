//! The commands: Redis 7.0's syntax, semantics and words, for keys that hold strings; of values of other types, which
//! no command makes yet, what their keys are.
//!
//! Owns the command table and every command. A command reads and stages through the [`Turn`] that it is lent, and
//! writes its reply behind a seal that only the turn's receipt breaks. Nothing here knows sockets, and nothing waits.
//!
//! Commands lie by the type of the values that they are on: [`string`], and each type to come in a folder of its name.
//! [`generic`] has those on keys of any type, [`admin`] those on none.

mod admin;
mod arguments;
#[cfg(test)]
mod batches;
mod docs;
mod failure;
mod flags;
mod generic;
mod help;
mod key_specs;
mod lookup;
mod room;
#[cfg(test)]
mod shortage;
mod string;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod types;
mod version;

use pmem::{Medium, Turn};

use crate::budget::Budget;
use crate::memory::NoMemory;
use crate::resp::{Reply, Request};
use crate::session::{Closing, Multi, Others, Session};
use crate::shared::Shared;

use admin::slowlog;
use failure::Outcome;
pub use failure::{Failure, NO_MEMORY, REQUEST_TOO_LONG, TOO_LONG};
use table::{Command, Run, unknown};
pub use task::{Progress, Task};

/// What a command works on.
pub struct Context<'a, 't, M: Medium> {
    /// The pool, for this turn.
    pub turn: &'a mut Turn<'t, M>,
    /// What all clients share.
    pub shared: &'a mut Shared,
    /// The client that asks.
    pub session: &'a mut Session,
    /// All other clients.
    pub others: &'a mut dyn Others,
    /// Where the answer goes.
    pub reply: Reply<'a>,
    /// What the client may still do in this turn.
    pub budget: &'a mut Budget,
    /// How far the command has come, if it is done in pieces: what a command leaves here goes on in the next turn.
    pub task: &'a mut Option<Task>,
}

/// Executes one request, or its next piece: when it is done one reply is written, unless the client does not want it or
/// is to be closed without one. Without memory for it nothing has happened: it can be executed again, or be refused.
pub fn execute<M: Medium + 'static>(
    context: &mut Context<'_, '_, M>,
    request: Request<'_>,
) -> Result<Progress, NoMemory> {
    let (end, begins, hearing) = (context.reply.position(), context.task.is_none(), context.session.hearing);
    let (start, used) = (begin(context), context.shared.memory.used());
    context.shared.counters.commands += u64::from(begins);
    let spent_before = if begins { 0 } else { context.session.spent };
    let mut called = None;
    let outcome = run(context, request, &mut called).and_then(|()| Ok(context.reply.check()?));
    if outcome.as_ref().is_err_and(Failure::is_no_memory) {
        context.shared.memory.want_also(context.shared.memory.used().saturating_sub(used));
        context.session.hearing = hearing;
        // A task that is still there goes on from where this piece began. Without one nothing of the reply may stay.
        if context.task.is_some() {
            context.reply.rewind(end);
        } else {
            context.reply.rewind(start);
            context.shared.counters.uncount_command();
        }
        return Err(NoMemory);
    }
    let failed = outcome.is_err();
    let progress = answer(context, start, outcome);
    let took = context.budget.lap();
    if let Some(command) = called {
        context.session.spent = spent_before + took;
        let outcome = (progress == Progress::Done).then_some(failed);
        context.shared.statistics.count_call(command.id(), took, outcome);
        if progress == Progress::Done {
            note_duration(context, command, request);
        }
    }
    Ok(progress)
}

/// Notes how long a command took that is done, for whoever looks for slow ones.
fn note_duration<M: Medium>(context: &mut Context<'_, '_, M>, command: &'static Command<M>, request: Request<'_>) {
    let took = context.session.spent;
    let is_fast = command.flags.has(flags::FAST);
    context.shared.latency.note(command.id(), is_fast, context.shared.now_ms / 1000, took);
    slowlog::note(context, request, took);
}

/// What executes a command, unless it is refused.
fn admit<M: Medium + 'static>(
    shared: &mut Shared,
    command: &'static Command<M>,
    request: Request<'_>,
) -> Result<Run<M>, Failure> {
    let full = command.flags.has(flags::DENYOOM) && shared.is_over_maxmemory();
    let run = command.function_for(request.len()).and_then(|run| if full { Err(failure::FULL) } else { Ok(run) });
    if run.is_err() {
        shared.statistics.count_rejected(command.id());
    }
    run
}

/// Answers a request that cannot be executed.
pub fn refuse<M: Medium>(context: &mut Context<'_, '_, M>, failure: Failure) {
    let start = begin(context);
    transaction::spoil(context.session);
    answer(context, start, Err(failure));
}

/// A request, or its next piece, begins. Returns where its reply begins.
fn begin<M: Medium>(context: &mut Context<'_, '_, M>) -> usize {
    if context.task.is_none() {
        context.session.hearing.begin();
    }
    context.reply_start()
}

/// Runs a request's command, which is left in `called`.
fn run<M: Medium + 'static>(
    context: &mut Context<'_, '_, M>,
    request: Request<'_>,
    called: &mut Option<&'static Command<M>>,
) -> Outcome {
    let named = Command::<M>::named(request.get(0));
    // A browser that was lured into sending us a form must not get far: Redis closes on its first word, too.
    if named.is_none() && is_http(request.get(0)) {
        context.session.closing = Some(Closing::Now);
        return Ok(());
    }
    if (named.is_none() || context.session.multi != Multi::None)
        && let Some(outcome) = transaction::answer(context, request)
    {
        return outcome;
    }
    let command = named.ok_or_else(|| unknown(request))?.meant_by(request)?;
    let run = admit(context.shared, command, request)?;
    context.session.command = command.full_name;
    *called = Some(command);
    if !command.flags.has(flags::DENYOOM) {
        expect_room_for_copies(request)?;
    }
    run(context, request)
}

/// Commands that store nothing have no use for a long argument, and copy it at most to quote it in an error. Who copies
/// cannot ask whether there is memory, so it is asked here: fails if there is none for two copies.
fn expect_room_for_copies(request: Request<'_>) -> Outcome {
    const LONG: usize = 16 * 1024;
    if request.span() > LONG && request.longest() > LONG {
        Vec::<u8>::new().try_reserve_exact(2 * request.longest())?;
    }
    Ok(())
}

/// Ends a reply, or a piece of one, that began at `start`.
fn answer<M: Medium>(context: &mut Context<'_, '_, M>, start: usize, outcome: Outcome) -> Progress {
    let progress = match outcome {
        Ok(()) if context.task.is_some() => Progress::Paused,
        Ok(()) => Progress::Done,
        Err(failure) => fail(context, start, failure),
    };
    if progress == Progress::Done && !context.session.hearing.end() {
        context.reply.rewind(start);
    }
    progress
}

/// A request that began to reply at `start` has failed: says so, unless it can be tried again.
#[cold]
fn fail<M: Medium>(context: &mut Context<'_, '_, M>, start: usize, failure: Failure) -> Progress {
    let room_was_made = room::was_made(context, &failure);
    context.reply.rewind(start);
    if room_was_made {
        return Progress::Paused;
    }
    *context.task = None;
    context.shared.counters.errors += 1;
    context.shared.statistics.count_error(failure.code());
    context.shared.turn_failed |= failure.is_fatal();
    failure.write(&mut context.reply);
    if context.reply.check().is_err() {
        // There is no memory even to say so.
        context.session.closing = Some(Closing::Now);
    }
    Progress::Done
}

fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
