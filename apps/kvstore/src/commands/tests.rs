//! The commands as a client sees them. Expected replies are redis-server 7.0.15's.

use proptest::prelude::*;

use crate::testing::{Harness, dialogue};

#[test]
fn the_active_expiry_removes_what_nobody_asks_for() {
    let mut client = Harness::new();
    for n in 0..2000 {
        client.send(&format!("set key:{n} v px {}", if n % 2 == 0 { 1000 } else { 9_000_000 }));
    }
    client.now_ms += 1001;
    let mut steps = 0;
    while client.shared.expiry.due().is_some_and(|due| due <= client.now_ms + 100) {
        client.now_ms += 100;
        client.turn();
        steps += 1;
        assert!(steps < 100, "a pass must end");
    }
    assert_eq!(client.send("dbsize"), ":1000|");
    assert_eq!(client.shared.counters.expired, 1000);
    assert!(client.shared.expiry.due().is_some_and(|due| due > client.now_ms), "it rests until the next is due");
}

/// At most 5,120 a second were removed: keys that live for two seconds piled up.
#[test]
fn twelve_thousand_keys_a_second_that_expire_do_not_pile_up() {
    let mut client = Harness::of(64 << 20);
    for from in (0..120_000).step_by(1200) {
        let batch = (from..from + 1200).map(|n| format!("set key:{n} v px 2000\r\n")).collect::<String>();
        client.bytes(batch.as_bytes());
        client.now_ms += 100;
        client.turn();
    }
    // 24,000 of them are alive.
    let keys = client.pool.stats().keys;
    assert!((24_000..30_000).contains(&keys), "{keys}");
}

#[test]
fn keys_that_never_expire_do_not_keep_the_others_from_being_removed() {
    let mut client = Harness::of(64 << 20);
    let life = |n: usize| if n.is_multiple_of(2000) { " px 1000" } else { "" };
    for from in (0..40_000).step_by(100) {
        let batch = (from..from + 100).map(|n| format!("set key:{n} v{}\r\n", life(n))).collect::<String>();
        client.bytes(batch.as_bytes());
    }
    client.now_ms += 2000;
    let mut removing = 0;
    while client.shared.counters.expired < 20 {
        client.now_ms += 100;
        client.turn();
        removing += 1;
        assert!(removing < 40, "40,000 keys are not looked at 512 at a time");
    }
}

#[test]
fn a_write_that_finds_the_pool_full_removes_dead_keys_first() {
    let mut client = Harness::new();
    let value = "x".repeat(10_000);
    let mut stored = 0;
    while client.send(&format!("set key:{stored} {value} px 1000")) == "+OK|" {
        stored += 1;
    }
    assert!(stored > 300, "{stored}");
    client.now_ms += 1001;
    assert_eq!(client.send(&format!("mset a {value} b {value}")), "+OK|");
    assert_eq!(client.send("dbsize"), ":2|");
    assert_eq!(client.send(&format!("setrange c 2000000 {value}")), ":2010000|");
}

#[test]
fn connections_introduce_themselves() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("ping", "+PONG|"),
        ("ping \"a b\"", "$3|a b|"),
        ("echo x", "$1|x|"),
        ("select 0", "+OK|"),
        ("select 1", "-ERR DB index is out of range|"),
        ("auth default x", "+OK|"),
        ("auth someone x", "-WRONGPASS invalid username-password pair or user is disabled.|"),
        ("hello 4", "-NOPROTO unsupported protocol version|"),
        ("hello x", "-ERR Protocol version is not an integer or out of range|"),
        ("hello 3 setname", "-ERR Syntax error in HELLO option 'setname'|"),
        ("get k", "$-1|"),
        ("client setname \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.|"),
        ("client setinfo lib-name x", "+OK|"),
        ("client getname", "$-1|"),
        ("client nonsense", "-ERR unknown subcommand 'nonsense'. Try CLIENT HELP.|"),
        ("client", "-ERR wrong number of arguments for 'client' command|"),
        ("client id x", "-ERR wrong number of arguments for 'client|id' command|"),
        ("nonsense a b", "-ERR unknown command 'nonsense', with args beginning with: 'a' 'b' |"),
        ("get", "-ERR wrong number of arguments for 'get' command|"),
        ("command getkeys mset a 1 b 2", "*2|$1|a|$1|b|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
    let hello = client.send("hello 3 auth default x setname me");
    assert!(hello.starts_with("%7|$6|server|$5|redis|$7|version|"), "{hello}");
    assert_eq!(client.send("client getname"), "$2|me|");
    assert_eq!(client.send("get k"), "_|");
    assert!(client.send("config get maxmemory").starts_with("%1|$9|maxmemory|"));
    assert!(client.send("info server").starts_with("="));
    assert_eq!(client.send("reset"), "+RESET|");
    assert_eq!(client.send("get k"), "$-1|");
    assert_eq!(client.send("quit"), "+OK|");
    assert_eq!(client.send("ping"), "", "nothing is executed after QUIT");
}

#[test]
fn nothing_behind_multi_runs_as_long_as_there_are_no_transactions() {
    const INSIDE: &str =
        "-ERR not executed: there are no transactions yet, send DISCARD and the commands without MULTI|";
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.|";
    const WATCH: &str = "-ERR WATCH is not supported: there are no transactions yet|";
    dialogue(&[
        ("multi", "+OK|"),
        ("incr n", INSIDE),
        ("client setname x", INSIDE),
        ("no such command", INSIDE),
        ("multi", "-ERR MULTI calls can not be nested|"),
        ("watch n", "-ERR WATCH inside MULTI is not allowed|"),
        ("unwatch", INSIDE),
        ("exec", ABORTED),
        ("get n", "$-1|"),
        ("incr n", ":1|"),
        ("MULTI", "+OK|"),
        ("incr n", INSIDE),
        ("Discard", "+OK|"),
        ("incr n", ":2|"),
        ("multi", "+OK|"),
        ("reset", "+RESET|"),
        ("incr n", ":3|"),
        ("multi", "+OK|"),
        ("exec", "*0|"),
        ("multi", "+OK|"),
        ("exec now", "-ERR wrong number of arguments for 'exec' command|"),
        ("exec", ABORTED),
        ("exec", "-ERR EXEC without MULTI|"),
        ("discard", "-ERR DISCARD without MULTI|"),
        ("multi now", "-ERR wrong number of arguments for 'multi' command|"),
        ("watch", "-ERR wrong number of arguments for 'watch' command|"),
        ("watch n", WATCH),
        ("unwatch", WATCH),
        ("incr n", ":4|"),
        ("command list filterby pattern multi", "*0|"),
        ("multi", "+OK|"),
        ("quit", "+OK|"),
    ]);
    let mut client = Harness::new();
    let transaction = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n";
    assert_eq!(client.bytes(transaction).iter().filter(|&&byte| byte == b'-').count(), 2);
    assert_eq!(client.send("exists n"), ":0|", "in one piece");
}

#[test]
fn info_tells_what_is_true() {
    let mut client = Harness::new();
    client.shared.info.protection = "none".into();
    client.send("set a 1");
    let all = client.send("info");
    for line in [
        "# Server|",
        "|db0:keys=1,",
        "|protection:none|fault_policy:none|",
        "|pool_keys:1|",
        "|total_commands_processed:2|",
    ] {
        assert!(all.contains(line), "{line} in {all}");
    }
    assert!(!client.send("info clients").contains("# Server"));
    assert_eq!(client.send("info nonsense"), "$0||");
}

#[test]
fn info_counts_keys_with_an_expiry_at_once_and_their_avg_ttl() {
    let mut client = Harness::new();
    for (line, keyspace) in [
        ("set a 1 ex 1000", "db0:keys=1,expires=1,avg_ttl=1000000|"),
        ("mset b 1 c 1", "db0:keys=3,expires=1,avg_ttl=1000000|"),
        ("pexpire b 2000", "db0:keys=3,expires=2,avg_ttl=501000|"),
        ("set a 2", "db0:keys=3,expires=1,avg_ttl=2000|"),
        ("setrange b 0 longer", "db0:keys=3,expires=1,avg_ttl=2000|"),
        ("rename b d", "db0:keys=3,expires=1,avg_ttl=2000|"),
        ("persist d", "db0:keys=3,expires=0,avg_ttl=0|"),
        ("getex d px 100", "db0:keys=3,expires=1,avg_ttl=100|"),
        ("del d", "db0:keys=2,expires=0,avg_ttl=0|"),
        ("copy a e", "db0:keys=3,expires=0,avg_ttl=0|"),
    ] {
        client.send(line);
        let info = client.send("info keyspace");
        assert!(info.contains(keyspace), "{line}: {info}");
    }
    client.send("set f 1 px 100");
    client.now_ms += 101;
    client.turn();
    assert!(client.send("info keyspace").contains("db0:keys=3,expires=0,avg_ttl=0|"));
}

#[test]
fn shutdown_stops_the_server_without_a_reply() {
    let mut client = Harness::new();
    assert_eq!(client.send("shutdown save nosave"), "-ERR syntax error|");
    assert_eq!(client.send("shutdown abort"), "-ERR No shutdown in progress.|");
    assert!(!client.shared.stopping);
    assert_eq!(client.send("shutdown nosave now"), "");
    assert!(client.shared.stopping);
}

#[test]
fn values_too_long_are_refused_and_the_connection_goes_on() {
    let mut client = Harness::new();
    let limit = client.shared.limits.parser.argument;
    let mut request = format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n${}\r\n", limit + 1).into_bytes();
    request.resize(request.len() + limit + 1, b'x');
    request.extend_from_slice(b"\r\nping\r\n");
    let reply = client.bytes(&request);
    assert_eq!(reply, b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n+PONG\r\n");
    assert!(client.client.count_buffers(false).memory() < 1 << 20);
}

#[test]
fn a_full_pool_refuses_writes_and_still_serves() {
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.|";
    let mut client = Harness::new();
    let value = "x".repeat(50_000);
    let mut stored = 0;
    let refused = loop {
        match client.send(&format!("set key:{stored} {value}")) {
            reply if reply == "+OK|" => stored += 1,
            reply => break reply,
        }
        assert!(stored < 1000, "8 MiB cannot hold 50 MB");
    };
    assert_eq!(refused, OOM);
    assert!(stored > 50, "{stored}");
    assert_eq!(client.send("strlen key:0"), ":50000|");
    assert_eq!(client.send(&format!("exists key:{stored}")), ":0|");
    assert_eq!(client.send(&format!("mset a 1 b {value}")), OOM);
    assert_eq!(client.send("exists a b"), ":0|");
    for n in 0..stored / 2 {
        assert_eq!(client.send(&format!("del key:{n}")), ":1|");
    }
    assert_eq!(client.send(&format!("set again {value}")), "+OK|");
}

proptest! {
    /// Whatever arrives, however it is split, is answered alike and harms nothing.
    #[test]
    fn any_bytes_do_no_harm(
        data in prop::collection::vec(prop_oneof![
            4 => "(get|set|append|incr|del|setrange|getrange|expire|mset) [ab] ?[0-9]{0,3} ?[a-z0-9]{0,3}\r\n",
            1 => "[ -~]{0,30}\r\n",
            1 => "\\*[0-9]\r\n\\$[0-9]\r\n",
        ], 0..30),
        sizes in prop::collection::vec(1..40usize, 1..10),
    ) {
        let data = data.concat().replace("quit", "").replace("shutdown", "").into_bytes();
        let (mut whole, mut split) = (Harness::new(), Harness::new());
        let expected = whole.bytes(&data);
        let (mut rest, mut sizes, mut got) = (&data[..], sizes.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            got.extend(split.bytes(piece));
            rest = next;
        }
        prop_assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected));
    }
}
