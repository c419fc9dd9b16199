//! Commands as `COMMAND INFO` shows them.

use pmem::Medium;

use crate::commands::key_specs::{self, KeySpec};
use crate::commands::table::Command;
use crate::resp::Reply;

/// One command and its subcommands.
pub fn describe<M: Medium>(reply: &mut Reply<'_>, command: &Command<M>) {
    let (first, last, step) = key_specs::range(command.key_specs);
    reply.array(10);
    reply.bulk(command.full_name.as_bytes());
    reply.integer(command.arity.into());
    statuses(reply, command.flags.names());
    reply.integer(first as i64);
    reply.integer(last.into());
    reply.integer(step as i64);
    statuses(reply, command.flags.categories());
    reply.set(command.doc.tips.len());
    for tip in command.doc.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.key_specs.len());
    for spec in command.key_specs {
        describe_keys(reply, spec);
    }
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    for subcommand in command.subcommands {
        describe(reply, subcommand);
    }
}

/// One key specification: a range of arguments from a fixed place on, the only kind that our commands need.
fn describe_keys(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        pair(reply, "notes", spec.notes);
    }
    reply.bulk(b"flags");
    statuses(reply, spec.flags.iter().copied());
    reply.bulk(b"begin_search");
    reply.map(2);
    pair(reply, "type", "index");
    reply.bulk(b"spec");
    integers(reply, &[("index", spec.first as i64)]);
    reply.bulk(b"find_keys");
    reply.map(2);
    pair(reply, "type", "range");
    reply.bulk(b"spec");
    integers(reply, &[("lastkey", spec.last.into()), ("keystep", spec.step as i64), ("limit", 0)]);
}

/// A set of words.
pub fn statuses(reply: &mut Reply<'_>, names: impl Iterator<Item = &'static str> + Clone) {
    reply.set(names.clone().count());
    names.for_each(|name| reply.status(name));
}

/// A name and a text in a map.
pub fn pair(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn integers(reply: &mut Reply<'_>, pairs: &[(&str, i64)]) {
    reply.map(pairs.len());
    for (name, value) in pairs {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}
