//! `CLIENT` as clients see it.

use crate::session::{Closing, Multi, Session};
use crate::testing::{self, Harness};

/// One client that asks, and two that do not.
fn three() -> Harness {
    let mut client = Harness::new();
    let mut second = testing::session(2, client.now_ms - 5000);
    second.ends.local = "[::1]:6379".parse().unwrap();
    second.name = b"second".to_vec();
    let first_of_all = Session::new(0, second.ends, client.now_ms);
    client.others.0 = vec![second, first_of_all];
    client
}

/// The numbers of the clients in a list.
fn ids(list: &str) -> Vec<u64> {
    list.split('\n').filter_map(|line| line.split_once("id=")?.1.split_once(' ')?.0.parse().ok()).collect()
}

#[test]
fn client_info_has_all_fields_of_redis_in_its_order() {
    const FIELDS: [&str; 29] = [
        "id",
        "addr",
        "laddr",
        "fd",
        "name",
        "age",
        "idle",
        "flags",
        "db",
        "sub",
        "psub",
        "ssub",
        "multi",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "multi-mem",
        "rbs",
        "rbp",
        "obl",
        "oll",
        "omem",
        "tot-mem",
        "events",
        "cmd",
        "user",
        "redir",
        "resp",
        "lib-name",
    ];
    let mut client = Harness::new();
    let reply = client.send("client info");
    let line = reply.split_once('|').unwrap().1.strip_suffix("\n|").unwrap();
    let names: Vec<&str> = line.split(' ').map(|field| field.split_once('=').unwrap().0).collect();
    assert_eq!(names[..29], FIELDS);
    assert_eq!(names[29..], ["lib-ver"]);
    let value = |wanted: &str| line.split(' ').find_map(|field| field.strip_prefix(&format!("{wanted}="))).unwrap();
    assert_eq!((value("laddr"), value("fd"), value("flags")), ("127.0.0.1:6379", "7", "N"));
    assert_eq!(value("qbuf"), "client info\r\n".len().to_string(), "the request itself");
    assert!(value("tot-mem").parse::<usize>().unwrap() > value("qbuf-free").parse::<usize>().unwrap());
    assert_eq!((value("cmd"), value("events")), ("client|info", "r"));
}

#[test]
fn client_list_shows_all_clients_or_those_that_are_asked_for() {
    let mut client = three();
    let list = client.send("client list");
    assert_eq!(ids(&list), [0, 1, 2]);
    assert!(list.contains("id=2 addr=127.0.0.1:2 laddr=[::1]:6379 fd=7 name=second age=5 "), "{list}");
    assert!(list.contains(" cmd=NULL "), "before the first command: {list}");
    assert_eq!(ids(&client.send("client list type Normal")), [0, 1, 2]);
    assert_eq!(client.send("client list type pubsub"), "$0||");
    assert_eq!(ids(&client.send("client list id 2 9 1")), [2, 1]);
    for (line, error) in [
        ("client list type odd", "-ERR Unknown client type 'odd'|"),
        ("client list id x", "-ERR Invalid client ID|"),
        ("client list id", "-ERR syntax error|"),
        ("client list all of them", "-ERR syntax error|"),
    ] {
        assert_eq!(client.send(line), error, "{line}");
    }
}

#[test]
fn client_list_of_many_ids_is_bounded() {
    let mut client = three();
    let twice = client.send("client list id 2 1 2");
    assert_eq!(ids(&twice), [2, 1, 2], "as Redis, each as often as it is named");
    let many = format!("client list id{}", " 2".repeat(5000));
    client.shared.limits.reply = 100_000;
    let reply = client.send(&many);
    assert!(reply == "-ERR reply exceeds maximum allowed size (client-output-buffer-limit)|", "{} bytes", reply.len());
}

#[test]
fn client_kill_closes_those_that_are_meant() {
    let closed = |client: &Harness| -> Vec<u64> {
        client.others.0.iter().filter(|it| it.closing == Some(Closing::Now)).map(|it| it.id).collect()
    };
    for (line, reply, killed, itself) in [
        ("client kill 127.0.0.1:2", "+OK|", &[2, 0][..], false),
        ("client kill 127.0.0.1:3", "-ERR No such client|", &[], false),
        ("client kill 127.0.0.1:1", "+OK|", &[], true),
        ("client kill id 2", ":1|", &[2], false),
        ("client kill id 1", ":0|", &[], false),
        ("client kill id 1 skipme no", ":1|", &[], true),
        ("client kill laddr [::1]:6379", ":2|", &[2, 0], false),
        ("client kill addr 127.0.0.1:2 laddr 127.0.0.1:6379", ":0|", &[], false),
        ("client kill user default skipme NO", ":3|", &[2, 0], true),
        ("client kill type normal type replica", ":0|", &[], false),
        ("client kill id 0", "-ERR client-id should be greater than 0|", &[], false),
        ("client kill user me", "-ERR No such user 'me'|", &[], false),
        ("client kill type odd", "-ERR Unknown client type 'odd'|", &[], false),
        ("client kill skipme maybe", "-ERR syntax error|", &[], false),
        ("client kill id 2 addr", "-ERR syntax error|", &[], false),
    ] {
        let mut client = three();
        assert_eq!(client.send(line), reply, "{line}");
        assert_eq!(closed(&client), killed, "{line}");
        assert_eq!(client.client.session.closing, itself.then_some(Closing::AfterReplies), "{line}");
        assert_eq!(client.shared.killed, !killed.is_empty(), "{line}: the loop must know");
    }
}

#[test]
fn client_list_tells_who_is_in_a_transaction_who_is_spared_and_who_is_leaving() {
    let mut client = three();
    client.others.0[0].closing = Some(Closing::AfterReplies);
    client.others.0[0].no_evict = true;
    client.others.0[1].multi = Multi::Refused;
    let list = client.send("client list");
    for (id, part) in [(0, "flags=x "), (0, "multi=0 "), (1, "flags=N "), (1, "multi=-1 "), (2, "flags=ce ")] {
        assert!(list.lines().find(|line| line.contains(&format!("id={id} "))).unwrap().contains(part), "{list}");
    }
}

#[test]
fn client_reply_keeps_quiet() {
    let mut client = Harness::new();
    for (lines, reply) in [
        ("client reply skip\r\nset k v\r\nget k", "$1|v|"),
        ("client reply skip\r\nno such command\r\nping", "+PONG|"),
        ("client reply skip\r\nclient reply on\r\nping", "+OK|+PONG|"),
        ("client reply off\r\nset k w\r\nget k\r\nclient reply skip\r\nping\r\nclient reply maybe", ""),
        ("client reply on\r\nget k", "+OK|$1|w|"),
        ("client reply off\r\nreset", "+RESET|"),
        ("client reply maybe", "-ERR syntax error|"),
    ] {
        assert_eq!(client.send(lines), reply, "{lines}");
    }
}
