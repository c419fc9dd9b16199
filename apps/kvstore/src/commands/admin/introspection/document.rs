//! Commands as `COMMAND DOCS` shows them.

use pmem::Medium;

use super::describe::{pair, statuses};
use crate::commands::docs::argument::Argument;
use crate::commands::table::Command;
use crate::resp::Reply;

/// A command, after its name.
pub fn entry<M: Medium>(reply: &mut Reply<'_>, command: &Command<M>) {
    reply.bulk(command.full_name.as_bytes());
    map(reply, |reply| fields(reply, command));
}

/// Writes what is known of a command; says how many fields that are.
fn fields<M: Medium>(reply: &mut Reply<'_>, command: &Command<M>) -> usize {
    let doc = command.doc;
    let mut count = 3;
    pair(reply, "summary", doc.summary);
    pair(reply, "since", doc.since);
    pair(reply, "group", command.group);
    if !doc.complexity.is_empty() {
        count += 1;
        pair(reply, "complexity", doc.complexity);
    }
    if let Some((since, replaced_by)) = doc.deprecated {
        count += 3;
        reply.bulk(b"doc_flags");
        statuses(reply, std::iter::once("deprecated"));
        pair(reply, "deprecated_since", since);
        pair(reply, "replaced_by", replaced_by);
    }
    if !doc.history.is_empty() {
        count += 1;
        reply.bulk(b"history");
        reply.set(doc.history.len());
        for (version, change) in doc.history {
            reply.array(2);
            pair(reply, version, change);
        }
    }
    if !doc.arguments.is_empty() {
        count += 1;
        reply.bulk(b"arguments");
        arguments(reply, doc.arguments);
    }
    if !command.subcommands.is_empty() {
        count += 1;
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|subcommand| entry(reply, subcommand));
    }
    count
}

fn arguments(reply: &mut Reply<'_>, list: &[Argument]) {
    reply.array(list.len());
    for argument in list {
        map(reply, |reply| argument_fields(reply, argument));
    }
}

/// Writes what is known of an argument; says how many fields that are.
fn argument_fields(reply: &mut Reply<'_>, argument: &Argument) -> usize {
    let mut count = 2;
    pair(reply, "name", argument.name);
    pair(reply, "type", argument.kind);
    if let Some(spec) = argument.key_spec {
        count += 1;
        reply.bulk(b"key_spec_index");
        reply.integer(spec as i64);
    }
    let versions =
        [("token", argument.token), ("since", argument.since), ("deprecated_since", argument.deprecated_since)];
    for (name, value) in versions {
        if let Some(value) = value {
            count += 1;
            pair(reply, name, value);
        }
    }
    if argument.flags().next().is_some() {
        count += 1;
        reply.bulk(b"flags");
        statuses(reply, argument.flags());
    }
    if !argument.parts.is_empty() {
        count += 1;
        reply.bulk(b"arguments");
        arguments(reply, argument.parts);
    }
    count
}

/// A map whose length `write` returns.
fn map(reply: &mut Reply<'_>, write: impl FnOnce(&mut Reply<'_>) -> usize) {
    let start = reply.position();
    let count = write(reply);
    reply.before(start, |reply| reply.map(count));
}
