//! Clients that make the store use memory: large values, large replies, replies that nobody reads.

use std::thread;

use holdfast_tests::resp::{Client, Reply, encode};

use super::scene::Scene;
use super::{SIZES, SMALLEST};

/// Fails unless it is an error that a client can understand: memory is short, or what was asked for is too long.
fn expect_refusal(reply: &Reply) {
    let Reply::Error(text) = reply else { panic!("neither done nor refused: {reply:?}") };
    assert!(text.starts_with("OOM ") || text.contains("exceeds maximum allowed size"), "{text}");
}

/// A small request for a large reply: one MGET of 1,500 times 30 KB.
fn one_mget_of_much(scene: &Scene) {
    const TIMES: usize = 1500;
    let value = vec![b'v'; 30_000];
    let mut client = scene.store().client();
    assert_eq!(client.set("k", &value), Reply::ok());
    let keys: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(std::iter::repeat_n(&b"k"[..], TIMES)).collect();
    match client.try_command(&keys).unwrap() {
        Reply::Array(values) => {
            assert_eq!(values.len(), TIMES);
            assert!(values.into_iter().all(|got| got.into_bytes().is_some_and(|got| got == value)));
        }
        refused => expect_refusal(&refused),
    }
    assert_eq!(client.command("STRLEN k"), Reply::Integer(30_000), "the connection goes on");
}

/// One value that grows by a megabyte at a time, until it is refused.
fn appends_to_one_value(scene: &Scene) {
    const STEP: usize = 1_000_000;
    let mut client = scene.store().client();
    let mut length = 0;
    for _ in 0..22 {
        match client.try_command(&[b"APPEND", b"k", &vec![b'a'; STEP]]).unwrap() {
            Reply::Integer(now) => {
                length += STEP as i64;
                assert_eq!(now, length);
            }
            refused => expect_refusal(&refused),
        }
    }
    assert!(length >= 2 * STEP as i64, "only {length} bytes could be appended");
    assert_eq!(client.command("STRLEN k"), Reply::Integer(length));
}

/// Several clients that store a large value each at the same time.
pub fn large_sets_at_once(scene: &Scene) {
    let (clients, length) = match scene.memory >> 20 {
        64 => (3, 12_000_000),
        96 => (6, 12_000_000),
        128 => (8, 16_000_000),
        _ => (10, 16_000_000),
    };
    thread::scope(|scope| {
        for number in 0..clients {
            scope.spawn(move || {
                let value = vec![b'a' + number; length];
                let key = format!("large:{number}");
                let mut client = scene.store().client();
                // Whoever gets no memory is refused or closed.
                match client.try_command(&[b"SET", key.as_bytes(), &value]) {
                    Ok(Reply::Status(_)) => {
                        assert_eq!(client.command(&format!("STRLEN {key}")), Reply::Integer(length as i64));
                    }
                    Ok(refused) => expect_refusal(&refused),
                    Err(_) => {}
                }
            });
        }
    });
}

/// Clients that ask for a megabyte twice and read nothing.
fn replies_that_nobody_reads(scene: &Scene) {
    let mut first = scene.store().client();
    assert_eq!(first.set("k", &vec![b'v'; 1 << 20]), Reply::ok());
    let hoarders: Vec<Client> = (0..33)
        .map(|_| {
            let mut hoarder = scene.store().client();
            // It may have been closed meanwhile.
            let _ = hoarder.send(&encode(&[b"GET", b"k"]).repeat(2));
            // The server has seen it when somebody else is answered.
            assert_eq!(first.command("PING"), Reply::Status("PONG".into()));
            hoarder
        })
        .collect();
    assert_eq!(first.command("STRLEN k"), Reply::Integer(1 << 20));
    drop(hoarders);
}

/// Clients that do not read hold what they may; who writes much is served all the same.
fn large_writes_beside_replies_that_nobody_reads(scene: &Scene) {
    let mut writer = scene.store().client();
    assert_eq!(writer.set("k", &vec![b'v'; 1_500_000]), Reply::ok());
    let hoarders: Vec<Client> = (0..43)
        .map(|_| {
            let mut hoarder = scene.store().client();
            let _ = hoarder.send(&encode(&[b"GET", b"k"]));
            hoarder
        })
        .collect();
    for number in 0..5u8 {
        assert_eq!(writer.set("large", &vec![number; 2_000_000 + 100_000 * usize::from(number)]), Reply::ok());
    }
    drop(hoarders);
}

/// All of them, one after the other, each in a machine of its own.
fn all(memory: u64) {
    for hostile in [
        one_mget_of_much,
        appends_to_one_value,
        large_sets_at_once,
        replies_that_nobody_reads,
        large_writes_beside_replies_that_nobody_reads,
    ] {
        Scene::boot(memory).endure(hostile);
    }
}

#[test]
fn one_mget_of_much_does_not_end_the_machine() {
    Scene::boot(SMALLEST).endure(one_mget_of_much);
}

#[test]
fn appends_to_one_value_do_not_end_the_machine() {
    Scene::boot(SMALLEST).endure(appends_to_one_value);
}

#[test]
fn large_sets_at_once_do_not_end_the_machine() {
    Scene::boot(SMALLEST).endure(large_sets_at_once);
}

#[test]
fn replies_that_nobody_reads_do_not_end_the_machine() {
    Scene::boot(SMALLEST).endure(replies_that_nobody_reads);
}

#[test]
fn large_writes_go_through_beside_replies_that_nobody_reads() {
    Scene::boot(SMALLEST).endure(large_writes_beside_replies_that_nobody_reads);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn clients_cannot_use_up_the_memory_of_any_machine() {
    SIZES.into_iter().for_each(all);
}
