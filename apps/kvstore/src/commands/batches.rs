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
