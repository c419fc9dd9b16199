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
