//! `COMMAND` against the recorded replies of redis-server 7.0.15.

use crate::commands::table::Command;
use crate::testing::{Harness, Memory};

/// Lines of `info NAME REPLY` and `docs NAME REPLY`, with `|` for line ends, in RESP3. The replies of containers end
/// before their subcommands, which Redis lists in no order.
const RECORDED: &str = include_str!("redis-7.0.15.txt");

/// Commands that Redis 7.0 does not have.
const LATER: &[&str] = &["client|setinfo"];

fn recorded(kind: &str, name: &str) -> &'static str {
    let start = format!("{kind} {name} ");
    let found = RECORDED.lines().find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("record what Redis replies to COMMAND {kind} {name}"))
}

#[test]
fn command_docs_with_arguments_and_command_info_with_key_specifications_are_those_of_redis() {
    let mut client = Harness::new();
    client.send("hello 3");
    let commands = Command::<Memory>::TABLE.iter();
    for command in commands.flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
        let name = command.full_name;
        if LATER.contains(&name) {
            continue;
        }
        for kind in ["info", "docs"] {
            let (reply, recorded) = (client.send(&format!("command {kind} {name}")), recorded(kind, name));
            match command.subcommands {
                [] => assert_eq!(reply, recorded, "{kind} {name}"),
                // The number of fields in the head counts the subcommands as one.
                _ => assert!(reply.starts_with(recorded), "{kind} {name}: {reply}\nbut Redis: {recorded}"),
            }
        }
    }
}

#[test]
fn command_info_and_docs_know_subcommands() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("command info client|nope client|id|x nope CLIENT|", "*4|$-1|$-1|$-1|$-1|"),
        ("command docs client|nope nope", "*0|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
    assert!(client.send("command info CLIENT|ID").starts_with("*1|*10|$9|client|id|:2|*3|+noscript|"));
    assert!(client.send("command info client").contains("|*0|*0|*10|*10|$14|client|getname|"));
    let docs = client.send("command docs client");
    assert!(docs.contains("|$11|subcommands|*20|$14|client|getname|*8|$7|summary|"), "{docs}");
}

#[test]
fn command_getkeys_and_flags_are_those_of_redis() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("command getkeys mset a 1 b 2", "*2|$1|a|$1|b|"),
        ("command getkeys mset a 1 b", "*2|$1|a|$1|b|"),
        ("command getkeys get", "-ERR wrong number of arguments for 'command|getkeys' command|"),
        ("command getkeys get a b", "-ERR Invalid number of arguments specified for command|"),
        ("command getkeys ping a", "-ERR The command has no key arguments|"),
        ("command getkeys nope a", "-ERR Invalid command specified|"),
        ("command getkeys client nope", "-ERR Invalid command specified|"),
        ("command getkeysandflags set a b", "*1|*2|$1|a|*2|+OW|+update|"),
        ("command getkeysandflags set a b ex 1 get", "*1|*2|$1|a|*3|+RW|+access|+update|"),
        ("command getkeysandflags rename a b", "*2|*2|$1|a|*3|+RW|+access|+delete|*2|$1|b|*2|+OW|+update|"),
        ("command getkeysandflags del a b", "*2|*2|$1|a|*2|+RM|+delete|*2|$1|b|*2|+RM|+delete|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn command_list_is_filtered() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("command list filterby pattern S?TE*", "*1|$5|setex|"),
        ("command list filterby module x", "*0|"),
        ("command list filterby nope x", "-ERR syntax error|"),
        ("command list filterby aclcat", "-ERR syntax error|"),
        ("command list nope", "-ERR syntax error|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
    assert!(client.send("command list filterby aclcat connection").contains("|$4|echo|"));
}

#[test]
fn command_info_docs_and_getkeys_end_where_the_reply_becomes_too_long() {
    let mut client = Harness::new();
    client.shared.limits.reply = 10_000;
    let refused = "-ERR reply exceeds maximum allowed size (client-output-buffer-limit)|";
    for (start, word) in [
        ("command info", " get"),
        ("command docs", " get"),
        ("command getkeys mget", " k"),
        ("command getkeysandflags mget", " k"),
    ] {
        assert!(client.send(&format!("{start}{}", word.repeat(3))).starts_with("*"), "{start}");
        assert_eq!(client.send(&format!("{start}{}", word.repeat(5000))), refused, "{start}");
    }
}
