//! What the commands are documented with, for `COMMAND DOCS`: data, keyed by name.
//!
//! Summaries, complexities, histories and arguments are those of Redis 7.0 (see the file NOTICE); a file for each of
//! its groups.

pub mod argument;
mod bitmap;
mod connection;
mod generic;
mod server;
mod string;

use argument::Argument;

/// What a command or a subcommand is documented with.
#[derive(Clone, Copy)]
pub struct Doc {
    /// The command's name, with its container's: `client|id`.
    pub name: &'static str,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it costs; empty if that is not said.
    pub complexity: &'static str,
    /// The version since which it should not be used, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// How it has changed: versions, and what they brought.
    pub history: &'static [(&'static str, &'static str)],
    /// What proxies and tests should know of it, for `COMMAND INFO`.
    pub tips: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static [Argument],
}

impl Doc {
    const fn new(name: &'static str, since: &'static str, summary: &'static str, complexity: &'static str) -> Self {
        Self { name, since, summary, complexity, deprecated: None, history: &[], tips: &[], arguments: &[] }
    }

    const fn deprecated(self, since: &'static str, replaced_by: &'static str) -> Self {
        Self { deprecated: Some((since, replaced_by)), ..self }
    }

    const fn history(self, history: &'static [(&'static str, &'static str)]) -> Self {
        Self { history, ..self }
    }

    const fn tips(self, tips: &'static [&'static str]) -> Self {
        Self { tips, ..self }
    }

    const fn arguments(self, arguments: &'static [Argument]) -> Self {
        Self { arguments, ..self }
    }
}

/// Commands of one chapter of Redis's documentation.
pub struct Group {
    /// What it is called.
    pub name: &'static str,
    docs: &'static [Doc],
}

const GROUPS: &[Group] = &[
    Group { name: "bitmap", docs: bitmap::DOCS },
    Group { name: "connection", docs: connection::DOCS },
    Group { name: "generic", docs: generic::DOCS },
    Group { name: "server", docs: server::DOCS },
    Group { name: "string", docs: string::DOCS },
];

/// The documentation of a command, by its full name; its number among all, and its group's name. For the constant table
/// of commands: one without documentation does not compile.
pub const fn of(name: &str) -> (usize, &'static str, &'static Doc) {
    let (mut number, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut at = 0;
        while at < GROUPS[group].docs.len() {
            if equal(GROUPS[group].docs[at].name, name) {
                return (number, GROUPS[group].name, &GROUPS[group].docs[at]);
            }
            (at, number) = (at + 1, number + 1);
        }
        group += 1;
    }
    panic!("a command of the table has no documentation in commands/docs")
}

/// Whether two texts are equal: `==` is not constant yet.
const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::Command;
    use crate::testing::Memory;

    #[test]
    fn every_group_is_sorted_and_every_command_is_documented_once() {
        let mut names: Vec<&str> = GROUPS.iter().flat_map(|group| group.docs).map(|doc| doc.name).collect();
        for group in GROUPS {
            assert!(group.docs.is_sorted_by(|a, b| a.name < b.name), "{}", group.name);
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for name in names {
            assert!(Command::<Memory>::fully_named(name.as_bytes()).is_some(), "there is no command {name}");
        }
    }
}
