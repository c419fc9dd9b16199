//! `CONFIG`: what Redis would be configured with, as far as it is true here.

use pmem::Medium;

use super::failure::{Failure, Outcome};
use super::{Context, Request};
use crate::glob;
use crate::state::{Counters, State};

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
        ("io-threads", "1".into()),
        ("maxclients", limits.clients.to_string()),
        ("maxmemory", state.pool.capacity_bytes.to_string()),
        ("maxmemory-clients", limits.memory.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("port", state.facts.port.to_string()),
        ("proto-max-bulk-len", limits.parser.argument.to_string()),
        ("protected-mode", "no".into()),
        ("requirepass", String::new()),
        ("save", String::new()),
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

/// `CONFIG SET parameter value [parameter value ...]`: nothing can be changed while the server runs.
pub fn set<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    if request.len() % 2 == 1 {
        return Err(Failure::arity("config|set"));
    }
    let known = parameters(context.state);
    let unknown =
        request.from(2).step_by(2).find(|name| !known.iter().any(|(other, _)| super::arguments::is(name, other)));
    Err(Failure::owned(match unknown {
        Some(name) => [b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'"].concat(),
        None => [
            b"ERR CONFIG SET failed (possibly related to argument '",
            request.get(2),
            b"') - can't set immutable config",
        ]
        .concat(),
    }))
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
            ("SET <directive> <value>", "Set the configuration <directive> to <value>: none can be changed here."),
            ("RESETSTAT", "Reset statistics reported by the INFO command."),
        ],
    );
    Ok(())
}
