//! Keys as a client sees them. Expected replies are redis-server 7.0.15's.

use fastrand::Rng;
use pmem::Pool;
use pmem::sim::{Domain, Event, Memory};

use crate::testing::{Harness, dialogue};

#[test]
fn keys_move_with_their_expiry() {
    dialogue(&[
        ("rename a b", "-ERR no such key|"),
        ("set a 1 ex 50", "+OK|"),
        ("rename a a", "+OK|"),
        ("rename a b", "+OK|"),
        ("ttl b", ":50|"),
        ("exists a", ":0|"),
        ("set c 2", "+OK|"),
        ("renamenx b c", ":0|"),
        ("renamenx b d", ":1|"),
        ("copy d c", ":0|"),
        ("copy d c replace", ":1|"),
        ("ttl c", ":50|"),
        ("copy d d", "-ERR source and destination objects are the same|"),
        ("copy d e db 1", "-ERR DB index is out of range|"),
        ("copy d e db 0", ":1|"),
        ("copy nothing e replace", ":0|"),
        ("type e", "+string|"),
        ("type a", "+none|"),
    ]);
}

#[test]
fn an_expired_key_is_not_there() {
    let mut client = Harness::new();
    client.send("set k v px 100");
    client.send("set l v px 100");
    client.send("set m v");
    client.now_ms += 100;
    assert_eq!(client.send("get k"), "$1|v|", "its last millisecond");
    client.now_ms += 1;
    for (line, reply) in [
        ("keys *", "*1|$1|m|"),
        ("scan 0 count 1000", "*2|$1|0|*1|$1|m|"),
        ("randomkey", "$1|m|"),
        ("get k", "$-1|"),
        ("exists k l m", ":1|"),
        ("ttl k", ":-2|"),
        ("persist k", ":0|"),
        ("rename k x", "-ERR no such key|"),
        ("del k", ":0|"),
        ("set k w nx", "+OK|"),
        ("append l x", ":1|"),
        ("pttl l", ":-1|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn an_expiry_changes_only_when_it_may() {
    dialogue(&[
        ("expire k 10", ":0|"),
        ("set k v", "+OK|"),
        ("expire k 10 xx", ":0|"),
        ("expire k 10 gt", ":0|"),
        ("expire k 100 lt", ":1|"),
        ("expire k 50 nx", ":0|"),
        ("expire k 50 gt", ":0|"),
        ("expire k 200 gt", ":1|"),
        ("expire k 50 lt", ":1|"),
        ("ttl k", ":50|"),
        ("expire k 10 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible|"),
        ("expire k 10 gt lt", "-ERR GT and LT options at the same time are not compatible|"),
        ("expire k 10 soon", "-ERR Unsupported option soon|"),
        ("expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command|"),
        ("pexpire k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command|"),
        ("persist k", ":1|"),
        ("persist k", ":0|"),
        ("expireat k 33177117420", ":1|"),
        ("expiretime k", ":33177117420|"),
        ("pexpiretime k", ":33177117420000|"),
        ("expireat k -1", ":1|"),
        ("exists k", ":0|"),
    ]);
}

/// Found by `cargo xtask crash`: each key had a record of its own.
#[test]
fn several_keys_are_removed_together_or_not_at_all_whatever_a_power_cut_leaves() {
    let mut client = Harness::new();
    client.send("mset a 1 b 2");
    let mut domain = Domain::new(client.pool.medium().inner.image());
    client.pool.medium().inner.record();
    assert_eq!(client.send("del a b a c"), ":2|");
    let mut seen = [0; 3];
    let mut random = Rng::with_seed(1);
    for event in client.pool.medium().inner.record() {
        if event == Event::Fence {
            let images = domain.images(60, &mut |below| random.u64(..below));
            for words in images {
                let pool = Pool::open(Memory::from(domain.image(&words))).unwrap();
                seen[pool.stats().keys as usize] += 1;
            }
        }
        domain.apply(&event);
    }
    assert!(seen[0] > 0 && seen[2] > 0, "{seen:?}");
    assert_eq!(seen[1], 0, "{seen:?}");
}

#[test]
fn more_keys_than_a_record_takes_are_removed_too() {
    let mut client = Harness::new();
    let keys: Vec<String> = (0..40).map(|n| format!("{n:0>3000}")).collect();
    for key in &keys {
        client.send(&format!("set {key} v"));
    }
    let words: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
    assert_eq!(client.bytes(format!("*41\r\n$3\r\ndel\r\n{words}").as_bytes()), b":40\r\n");
    assert_eq!(client.send("dbsize"), ":0|");
}

#[test]
fn scan_visits_every_key() {
    let mut client = Harness::new();
    for n in 0..500 {
        client.send(&format!("set key:{n} v"));
    }
    let (mut cursor, mut seen) = ("0".to_string(), std::collections::BTreeSet::new());
    loop {
        let reply = client.send(&format!("scan {cursor} count 7 match key:*"));
        let mut parts = reply.split('|').skip(2);
        cursor = parts.next().unwrap().to_string();
        seen.extend(parts.filter(|part| part.starts_with("key:")).map(str::to_string));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
    assert_eq!(client.send("scan 0 match nothing count 1000"), "*2|$1|0|*0|");
    assert_eq!(client.send("scan 0 type list count 1000"), "*2|$1|0|*0|");
    for (line, error) in [
        ("scan x", "-ERR invalid cursor|"),
        ("scan 0 count 0", "-ERR syntax error|"),
        ("scan 0 count x", "-ERR value is not an integer or out of range|"),
        ("scan 0 match", "-ERR syntax error|"),
    ] {
        assert_eq!(client.send(line), error);
    }
}

#[test]
fn scan_of_a_single_key_answers_cursor_0_when_nothing_follows() {
    let mut client = Harness::new();
    client.send("set k v");
    assert_eq!(client.send("scan 0"), "*2|$1|0|*1|$1|k|");
    for n in 1..10 {
        client.send(&format!("set k{n} v"));
    }
    let all = client.send("scan 0 count 10");
    assert!(all.starts_with("*2|$1|0|*10|"), "{all}");
}

#[test]
fn only_a_single_star_lists_the_empty_key() {
    dialogue(&[
        ("set \"\" v", "+OK|"),
        ("keys *", "*1|$0||"),
        ("keys **", "*0|"),
        ("keys \"\"", "*1|$0||"),
        ("scan 0 match *", "*2|$1|0|*1|$0||"),
        ("scan 0 match **", "*2|$1|0|*0|"),
    ]);
}
