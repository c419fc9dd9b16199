//! A client that stores more small keys than there is memory to find them by.

use std::io;

use holdfast_tests::resp::{Client, Reply, encode};

use super::memory::large_sets_at_once;
use super::scene::Scene;
use super::{LARGEST, SIZES, SMALLEST};

/// How many requests one send has.
const BATCH: u64 = 2000;
/// More keys than the index of any machine here takes, in the pool of a scene.
const MOST: u64 = 4_000_000;

fn key(number: u64) -> String {
    format!("{number:x}")
}

/// Sends a batch of requests on keys in a row, and returns the replies.
fn batch(client: &mut Client, first: u64, request: impl Fn(&str) -> Vec<u8>) -> io::Result<Vec<Reply>> {
    let requests: Vec<u8> = (first..first + BATCH).flat_map(|number| request(&key(number))).collect();
    client.send(&requests)?;
    (0..BATCH).map(|_| client.reply()).collect()
}

fn refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("OOM command not allowed"))
}

/// Stores keys until the store refuses one; then it serves everything else, and takes keys again for those deleted.
fn more_keys_than_memory(scene: &Scene) {
    let mut client = scene.store().client();
    let set = |key: &str| encode(&[b"SET", key.as_bytes(), b"v"]);
    let mut first = 0;
    while batch(&mut client, first, set).unwrap().iter().all(|reply| *reply == Reply::ok()) {
        first += BATCH;
        assert!(first < MOST, "no key is refused");
    }
    println!("{} MiB: {first} keys, {} bytes of index", scene.memory >> 20, client.count("used_memory_index"));
    assert!(batch(&mut client, first + BATCH, set).unwrap().iter().any(refused));
    assert!(batch(&mut client, 0, set).unwrap().iter().all(|reply| *reply == Reply::ok()), "keys that are there");
    assert_eq!(client.get(&key(first - 1)), Some(b"v".to_vec()));
    let delete = |key: &str| encode(&[b"DEL", key.as_bytes()]);
    for first in (0..first / 4).step_by(BATCH as usize) {
        let deleted = batch(&mut client, first, delete).unwrap();
        assert!(deleted.iter().all(|reply| *reply == Reply::Integer(1)));
    }
    assert!(batch(&mut client, 0, set).unwrap().iter().all(|reply| *reply == Reply::ok()), "there is room again");
    // Not by FLUSHALL, which would take the honest client's keys too. Of the last two batches some were stored.
    for first in (0..first + 2 * BATCH).step_by(BATCH as usize) {
        batch(&mut client, first, delete).unwrap();
    }
}

/// The keys of a batch.
fn names_from(first: u64) -> Vec<String> {
    (first..first + BATCH).map(key).collect()
}

/// Six million keys, or as many as are taken, 2,600 clients that ask for nothing, and ten values of 16 MB at once.
fn keys_and_clients_and_large_values(scene: &Scene) {
    const MOST_KEYS: u64 = 6_000_000;
    const IDLE: usize = 2_600;
    let mut client = scene.store().client();
    let mut keys = 0;
    while keys < MOST_KEYS {
        let names = names_from(keys);
        let pairs = names.iter().flat_map(|name| [name.as_bytes(), b"v"]);
        let request: Vec<&[u8]> = [&b"MSET"[..]].into_iter().chain(pairs).collect();
        match client.try_command(&request).unwrap() {
            Reply::Status(_) => keys += BATCH,
            full => {
                assert!(refused(&full), "{full:?}");
                break;
            }
        }
    }
    assert!(keys > MOST_KEYS / 2, "only {keys} keys were stored");
    let most = client.count("maxclients") as usize;
    let idle: Vec<Client> = (0..IDLE.min(most - 20)).map(|_| scene.store().client()).collect();
    println!("{keys} keys, {} idle clients, {} bytes are available", idle.len(), client.count("memory_available"));
    large_sets_at_once(scene);
    assert_eq!(client.get(&key(keys - 1)), Some(b"v".to_vec()));
    drop(idle);
    // As above, not by FLUSHALL.
    for names in (0..keys).step_by(BATCH as usize).map(names_from) {
        let request: Vec<&[u8]> = [&b"DEL"[..]].into_iter().chain(names.iter().map(String::as_bytes)).collect();
        assert_eq!(client.try_command(&request).unwrap(), Reply::Integer(BATCH as i64));
    }
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn many_keys_idle_clients_and_large_values_do_not_end_the_default_machine() {
    Scene::boot_on(LARGEST, 1 << 30).endure(keys_and_clients_and_large_values);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn many_small_keys_do_not_end_any_machine() {
    for memory in SIZES.into_iter().filter(|memory| *memory <= 2 * SMALLEST) {
        Scene::boot(memory).endure(more_keys_than_memory);
    }
}
