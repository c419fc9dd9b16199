//! Clients that ask for much work, and keys that die by the thousands. What a turn may do is counted, not timed.

use std::thread;
use std::time::Duration;

use holdfast_tests::resp::{Client, Reply, encode};
use xtask::size::MIB;

use super::scene::Scene;
use super::{SIZES, SMALLEST};

/// Keys that the commands on many keys have before them.
const KEYS: usize = 40_000;
/// The most keys that one turn looks at for one client.
const KEYS_A_TURN: usize = 4096;
/// The most that the pool moves in a turn on average, in bytes: what a turn may, and the excess of one request.
const MOVED: u64 = 20 * MIB;

/// The server's turns, and the bytes that the pool has moved.
fn done(client: &mut Client) -> (u64, u64) {
    let [turns, loaded, stored] = client.counts(["pool_turns", "bytes_loaded", "bytes_stored"]);
    (turns, loaded + stored)
}

/// Sends requests in one piece and reads their replies; returns these, and how many turns that took.
fn turns_of(client: &mut Client, requests: &[u8], count: usize) -> (Vec<Reply>, u64) {
    let before = done(client);
    client.send(requests).unwrap();
    let replies = (0..count).map(|_| client.reply().unwrap()).collect();
    let after = done(client);
    let turns = after.0 - before.0;
    let moved = (after.1 - before.1) / turns.max(1);
    assert!(moved <= MOVED, "{moved} bytes in each of {turns} turns");
    (replies, turns)
}

/// One request on many keys.
fn on_keys(name: &str, each: impl Fn(usize) -> Vec<String>) -> Vec<u8> {
    let words: Vec<String> = [name.to_string()].into_iter().chain((0..KEYS).flat_map(each)).collect();
    encode(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

/// Small writes into a large value, and appends to another, each many in one piece.
fn small_changes_to_large_values(scene: &Scene) {
    let mut client = scene.store().client();
    assert_eq!(client.command("SETRANGE large 3999999 x"), Reply::Integer(4_000_000));
    for (request, count) in
        [("SETRANGE large 7 y\r\n", 64), ("APPEND large z\r\n", 100), ("COPY large copy REPLACE\r\n", 16)]
    {
        let (replies, _) = turns_of(&mut client, request.repeat(count).as_bytes(), count);
        assert!(replies.iter().all(|reply| matches!(reply, Reply::Integer(_))), "{request}: {replies:?}");
    }
    assert_eq!(client.command("DEL large copy"), Reply::Integer(2));
}

/// Commands on all keys, and a pattern that matches none of them.
fn commands_on_many_keys(scene: &Scene) {
    let mut client = scene.store().client();
    for batch in (0..KEYS).collect::<Vec<_>>().chunks(1000) {
        let sets: Vec<String> = batch.iter().map(|n| format!("SET key:{n} v")).collect();
        assert!(client.pipeline(&sets).into_iter().all(|reply| reply == Reply::ok()));
    }
    let key = |n: usize| vec![format!("key:{n}")];
    let class = format!("KEYS *[{}]b\r\n", "x".repeat(20_000));
    for request in [on_keys("EXISTS", key), b"KEYS key:*\r\n".to_vec(), class.into_bytes(), on_keys("DEL", key)] {
        let (replies, turns) = turns_of(&mut client, &request, 1);
        match &replies[0] {
            Reply::Integer(count) => assert_eq!(*count, KEYS as i64),
            Reply::Array(keys) => assert!([0, KEYS].contains(&keys.len()), "{} keys", keys.len()),
            other => panic!("{other:?}"),
        }
        assert!(turns >= (KEYS / KEYS_A_TURN) as u64, "in {turns} turns");
    }
}

/// `RANDOMKEY` over keys that have expired.
fn randomkey_over_dead_keys(scene: &Scene) {
    let mut client = scene.store().client();
    for _ in 0..5 {
        let sets: Vec<String> = (0..1000).map(|n| format!("SET dead:{n} v PX 20")).collect();
        assert!(client.pipeline(&sets).into_iter().all(|reply| reply == Reply::ok()));
        let [turns, fences] = client.counts(["pool_turns", "fences"]);
        client.command("RANDOMKEY");
        let after = client.counts(["pool_turns", "fences"]);
        // A turn has one; a segment that is opened or freed on the way has some more.
        assert!(after[1] - fences <= 2 * (after[0] - turns) + 20, "{} fences", after[1] - fences);
    }
}

/// More bytes than the pool has, of which few are alive at any time: nothing is refused, and all of them go.
fn keys_that_live_for_a_moment(scene: &Scene) {
    const BATCHES: usize = 40;
    let mut client = scene.store().client();
    let value = "v".repeat(1000);
    for batch in 0..BATCHES {
        let sets: Vec<String> = (0..2000).map(|n| format!("SET moment:{batch}:{n} {value} PX 100")).collect();
        assert!(client.pipeline(&sets).into_iter().all(|reply| reply == Reply::ok()), "batch {batch} was refused");
        // So long they live.
        thread::sleep(Duration::from_millis(150));
    }
    // Beside those of the honest client.
    let gone = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(100));
        matches!(client.command("DBSIZE"), Reply::Integer(..=64))
    });
    assert!(gone, "{:?} keys are left", client.command("DBSIZE"));
}

#[test]
fn long_requests_and_many_do_not_stop_the_others() {
    Scene::boot(SMALLEST).endure(|scene| {
        small_changes_to_large_values(scene);
        commands_on_many_keys(scene);
        randomkey_over_dead_keys(scene);
    });
}

#[test]
fn dead_keys_do_not_fill_a_small_pool() {
    Scene::boot_on(SMALLEST, 32 * MIB).endure(keys_that_live_for_a_moment);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn no_work_stops_any_machine() {
    for memory in SIZES {
        for hostile in [small_changes_to_large_values, commands_on_many_keys, randomkey_over_dead_keys] {
            Scene::boot(memory).endure(hostile);
        }
        Scene::boot_on(memory, 32 * MIB).endure(keys_that_live_for_a_moment);
    }
}
