//! `CONFIG`: what Redis would be configured with, as far as it is true here.

use pmem::{Medium, protection};

use super::arguments::is;
use super::failure::{Failure, Outcome};
use super::{Context, Request};
use crate::glob;
use crate::state::{Counters, State};

/// What follows a stray access to the device. This and [`SCRUB_RATE`] can be changed while the server runs.
const FAULT_POLICY: &str = "fault-policy";
/// How many bytes per second are verified in the background.
const SCRUB_RATE: &str = "scrub-rate";

/// The parameters, sorted by name.
fn parameters(state: &State) -> Vec<(&'static str, String)> {
    let limits = &state.limits;
    vec![
        // Every write is durable before it is acknowledged: what Redis calls an append-only file with fsync always.
        ("appendfsync", "always".into()),
        ("appendonly", "yes".into()),
        ("bind", state.facts.bind.clone()),
        ("client-query-buffer-limit", limits.parser.request.to_string()),
        ("cluster-enabled", "no".into()),
        ("daemonize", "no".into()),
        ("databases", "1".into()),
        // Ours: what follows a stray access, and below what keeps them out.
        (FAULT_POLICY, protection::fault_policy().unwrap_or_else(|| "none".into())),
        ("io-threads", "1".into()),
        ("maxclients", limits.clients.to_string()),
        ("maxmemory", state.pool.capacity_bytes.to_string()),
        ("maxmemory-clients", limits.memory.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("port", state.facts.port.to_string()),
        ("proto-max-bulk-len", limits.parser.argument.to_string()),
        ("protected-mode", "no".into()),
        ("protection", state.facts.protection.clone()),
        ("requirepass", String::new()),
        ("save", String::new()),
        (SCRUB_RATE, state.scrub.rate().to_string()),
        ("timeout", "0".into()),
    ]
}

/// `CONFIG GET parameter [parameter ...]`
pub fn get<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let mut found = parameters(context.state);
    found.retain(|(name, _)| {
        request.from(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    });
    context.reply.map(found.len());
    for (name, value) in found {
        context.reply.bulk(name.as_bytes());
        context.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// `CONFIG SET parameter value [parameter value ...]`: all of it is done, or nothing.
pub fn set<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len() % 2 == 1 {
        return Err(Failure::arity("config|set"));
    }
    let known = parameters(context.state);
    if let Some(name) = request.from(2).step_by(2).find(|name| !known.iter().any(|(other, _)| is(name, other))) {
        let text = [b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'"].concat();
        return Err(Failure::owned(text));
    }
    let (mut policy, mut rate) = (None, None);
    for at in (2..request.len()).step_by(2) {
        let (name, value) = (request.get(at), String::from_utf8_lossy(request.get(at + 1)));
        let twice = if is(name, FAULT_POLICY) {
            policy.replace((name, value)).is_some()
        } else if is(name, SCRUB_RATE) {
            let number = value.parse::<u64>().map_err(|_| refused(name, "argument must be bytes per second, or 0"))?;
            rate.replace(number).is_some()
        } else {
            return Err(refused(name, "can't set immutable config"));
        };
        if twice {
            return Err(refused(name, "duplicate parameter"));
        }
    }
    // The one that can fail comes first.
    if let Some((name, policy)) = policy {
        protection::set_fault_policy(&policy).map_err(|error| refused(name, &error.to_string()))?;
    }
    if let Some(rate) = rate {
        context.state.scrub.set_rate(rate);
    }
    context.reply.ok();
    Ok(())
}

/// Why a parameter that there is was not set, in Redis's words.
fn refused(name: &[u8], why: &str) -> Failure {
    let start = &b"ERR CONFIG SET failed (possibly related to argument '"[..];
    Failure::owned([start, name, b"') - ", why.as_bytes()].concat())
}

/// `CONFIG RESETSTAT`
pub fn resetstat<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.state.counters = Counters::default();
    context.reply.ok();
    Ok(())
}

/// `CONFIG HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    super::introspection::reply_help(
        &mut context.reply,
        "CONFIG",
        &[
            ("GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."),
            (
                "SET <directive> <value>",
                "Set the configuration <directive> to <value>: fault-policy and scrub-rate can be changed.",
            ),
            ("RESETSTAT", "Reset statistics reported by the INFO command."),
        ],
    );
    Ok(())
}
