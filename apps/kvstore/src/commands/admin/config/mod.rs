//! `CONFIG`: Redis's parameters, as far as they mean something here, and some of our own.

mod get;
mod kind;
mod knobs;
#[cfg(test)]
mod tests;

pub use get::get;
use knobs::Knob;
use pmem::Medium;

use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::help::reply_help;
use crate::commands::{Context, Request};
use crate::shared::Shared;
use crate::statistics::Counters;

/// `CONFIG SET parameter value [parameter value ...]`: all of it is done, or nothing.
pub fn set<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len() % 2 == 1 {
        return Err(SYNTAX);
    }
    let mut changes: Vec<Change> = Vec::new();
    for name in request.from(2).step_by(2) {
        let change = Change::of(name)?;
        if changes.iter().any(|other| other.name == change.name) {
            return Err(refused(name, "duplicate parameter"));
        }
        changes.push(change);
    }
    for (change, text) in changes.iter_mut().zip(request.from(3).step_by(2)) {
        let checked = change.knob.check(context.shared, text);
        change.value = checked.map_err(|why| refused(change.name.as_bytes(), &why))?;
    }
    apply(context.shared, &changes)?;
    context.reply.ok();
    Ok(())
}

/// What `CONFIG SET` does to one parameter.
struct Change {
    /// The parameter's name, perhaps its old one.
    name: &'static str,
    knob: &'static Knob,
    value: String,
}

impl Change {
    /// A change of the parameter of that name, if it can be changed.
    fn of(name: &[u8]) -> Result<Self, Failure> {
        let (known, knob) = Knob::named(name).ok_or_else(|| {
            Failure::owned([b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'"].concat())
        })?;
        match knob.refusal() {
            Some(why) => Err(refused(name, why)),
            None => Ok(Self { name: known, knob, value: String::new() }),
        }
    }
}

/// Sets everything; if something is refused, what was set before has its old value again.
fn apply(shared: &mut Shared, changes: &[Change]) -> Outcome {
    let before: Vec<String> = changes.iter().map(|change| change.knob.get(shared)).collect();
    for (done, change) in changes.iter().enumerate() {
        if let Err(why) = change.knob.set(shared, &change.value) {
            for (change, value) in changes.iter().zip(&before).take(done) {
                // It was valid before.
                let _ = change.knob.set(shared, value);
            }
            return Err(refused(change.name.as_bytes(), &why));
        }
    }
    Ok(())
}

/// Why a parameter that there is was not set, in Redis's words.
fn refused(name: &[u8], why: &str) -> Failure {
    let start = &b"ERR CONFIG SET failed (possibly related to argument '"[..];
    Failure::owned([start, name, b"') - ", why.as_bytes()].concat())
}

/// `CONFIG RESETSTAT`
pub fn resetstat<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.shared.counters = Counters::default();
    context.shared.statistics.reset();
    context.shared.latency.reset_commands();
    context.reply.ok();
    Ok(())
}

/// `CONFIG REWRITE`
pub fn rewrite<M: Medium>(_: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    Err(Failure::text("ERR The server is running without a config file"))
}

/// `CONFIG HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "CONFIG",
        &[
            ("GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."),
            ("SET <directive> <value>", "Set the configuration <directive> to <value>."),
            ("RESETSTAT", "Reset statistics reported by the INFO command."),
            ("REWRITE", "Rewrite the configuration file."),
        ],
    );
    Ok(())
}
