//! What batches of commands cost the medium.

use crate::testing::Harness;

/// Sends requests in one piece; returns the fences that they cost, and the bytes stored.
fn cost(client: &mut Harness, requests: &str) -> (u64, u64) {
    let before = client.pool.stats().medium;
    let replies = client.bytes(requests.as_bytes());
    assert!(!replies.contains(&b'-'), "{}", String::from_utf8_lossy(&replies));
    let after = client.pool.stats().medium;
    (after.fences - before.fences, after.bytes_stored - before.bytes_stored)
}

#[test]
fn dbsize_scan_keys_and_randomkey_after_a_write_cost_no_fence_of_their_own() {
    let mut client = Harness::new();
    assert_eq!(client.send("set first segment"), "+OK|");
    let batch = "set a b\r\ndbsize\r\nscan 0\r\nkeys *\r\nrandomkey\r\n".repeat(20);
    assert_eq!(cost(&mut client, &batch).0, 1);
}

/// One commit and one fence for each expired key was 11 seconds for 2,487 of them.
#[test]
fn randomkey_over_expired_keys_costs_a_fence_a_turn() {
    const KEYS: usize = 9000;
    let mut client = Harness::new();
    for from in (0..KEYS).step_by(100) {
        let batch = (from..from + 100).map(|n| format!("set key:{n} v px 1000\r\n")).collect::<String>();
        client.bytes(batch.as_bytes());
    }
    client.now_ms += 1001;
    let before = client.pool.stats();
    assert_eq!(client.bytes(b"randomkey\r\nping\r\n"), b"$-1\r\n+PONG\r\n");
    let after = client.pool.stats();
    let (turns, fences) = (after.turns - before.turns, after.medium.fences - before.medium.fences);
    // A segment that is opened on the way costs four more.
    assert!(fences <= turns + 16, "{fences} fences in {turns} turns");
    assert!((3..=20).contains(&turns), "{turns} turns");
    assert_eq!(client.send("dbsize"), ":0|");
}

/// A request with these arguments.
fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        request.extend(format!("${}\r\n", argument.len()).into_bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
    request
}

#[test]
fn setrange_append_and_setbit_on_a_large_value_write_what_changes() {
    let mut client = Harness::new();
    let value = vec![b'v'; 2 << 20];
    assert_eq!(client.bytes(&request(&[b"set", b"k", &value, b"ex", b"100"])), b"+OK\r\n");
    let (_, stored) = cost(&mut client, "setrange k 1000000 x\r\n");
    assert!(stored < 10_000, "{stored}");
    let (_, stored) = cost(&mut client, &"setrange k 1000001 y\r\n".repeat(64));
    assert!(stored < 64 * 10_000, "{stored}");
    let (_, stored) = cost(&mut client, &"append k end\r\n".repeat(100));
    assert!(stored < 100 * 1000, "{stored}");
    let (_, stored) = cost(&mut client, "setbit k 16000000 1\r\nbitfield k set u8 0 65\r\n");
    assert!(stored < 2 * 10_000, "{stored}");
    assert_eq!(client.send("getrange k 999999 1000002"), "$4|vxyv|");
    assert_eq!(client.send("getrange k -4 -1"), "$4|dend|");
    assert_eq!(client.send("strlen k"), format!(":{}|", (2 << 20) + 300));
    assert_eq!(client.send("ttl k"), ":100|");
    assert_eq!(client.send("append new value"), ":5|");
    assert_eq!(client.bytes(&request(&[b"append", b"empty", b""])), b":0\r\n");
    assert_eq!(client.send("exists empty"), ":1|");
    assert_eq!(client.send("setrange fresh 3 x"), ":4|");
}

/// As many pairs as a request takes are one step, whatever their values' lengths.
#[test]
fn mset_of_many_pairs_and_of_long_values_is_taken() {
    let mut client = Harness::new();
    let names: Vec<String> = (0..10_000).map(|number| format!("key:{number}")).collect();
    let value = [b'v'; 100];
    let pairs = names.iter().flat_map(|name| [name.as_bytes(), &value[..]]);
    let all: Vec<&[u8]> = [&b"mset"[..]].into_iter().chain(pairs).collect();
    assert_eq!(client.bytes(&request(&all)), b"+OK\r\n");
    assert_eq!(client.send("dbsize"), ":10000|");
    assert_eq!(client.bytes(&request(&[&[&b"msetnx"[..]], &all[1..]].concat())), b":0\r\n");
    assert_eq!(client.send("flushall"), "+OK|");
    let value = vec![b'v'; 30_000];
    let pairs = names[..40].iter().flat_map(|name| [name.as_bytes(), &value[..]]);
    let long: Vec<&[u8]> = [&b"msetnx"[..]].into_iter().chain(pairs).collect();
    assert_eq!(client.bytes(&request(&long)), b":1\r\n");
    assert_eq!(client.send("strlen key:39"), ":30000|");
}
