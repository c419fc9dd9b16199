//! What has been acknowledged is there after the server is gone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::{Scratch, Server};

#[test]
fn writes_outlive_a_shutdown() {
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let server = Server::start(&file);
    let mut client = server.connect();
    assert_eq!(client.ask(&["mset", "a", "1", "b", "2"]), "+OK");
    assert_eq!(client.ask(&["set", "c", "3", "ex", "1000"]), "+OK");
    assert_eq!(client.ask(&["del", "a"]), ":1");
    client.write(b"shutdown nosave\r\n");
    assert!(server.wait().0.success());

    let server = Server::start(&file);
    let mut client = server.connect();
    let information = client.ask(&["info", "holdfast"]);
    assert!(information.contains("pool_opening:2 keys from a checkpoint of "), "{information}");
    assert_eq!(client.ask(&["mget", "a", "b", "c"]), "$-1 2 3");
    let ttl: i64 = client.ask(&["ttl", "c"])[1..].parse().unwrap();
    assert!((1..=1000).contains(&ttl), "{ttl}");
    assert_eq!(client.ask(&["flushall"]), "+OK");
    server.kill();
    let server = Server::start(&file);
    let mut client = server.connect();
    let information = client.ask(&["info", "holdfast"]);
    assert!(information.contains("pool_opening:0 keys in "), "{information}");
    assert_eq!(client.ask(&["dbsize"]), ":0");
}

/// Several clients write for ever, each a sequence of its own; the server is killed under them, again and again.
#[test]
fn acknowledged_writes_outlive_a_kill() {
    const CLIENTS: usize = 8;
    const ROUNDS: u64 = 4;
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let acknowledged: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    for round in 1..=ROUNDS {
        let server = Server::start(&file);
        let clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        std::thread::scope(|scope| {
            for (number, mut client) in clients.into_iter().enumerate() {
                let acknowledged = &acknowledged[number];
                scope.spawn(move || {
                    let key = format!("key:{number}");
                    loop {
                        let next = acknowledged.load(Ordering::Relaxed) + 1;
                        let value = format!("{next} {}", "x".repeat((next % 700) as usize));
                        match client.try_ask(&["set", &key, &value]) {
                            Ok(reply) => assert_eq!(reply, "+OK"),
                            Err(_) => return,
                        }
                        acknowledged.store(next, Ordering::Relaxed);
                    }
                });
            }
            // After so many writes in sum, wherever the clients are just then.
            while acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>() < round * 500 {
                std::thread::yield_now();
            }
            server.kill();
        });

        let server = Server::start(&file);
        let mut client = server.connect();
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let value = client.ask(&["get", &format!("key:{number}")]);
            let found: u64 = value.split(' ').next().unwrap().parse().unwrap_or(0);
            let least = acknowledged.load(Ordering::Relaxed);
            // One more may have become durable without its reply getting through.
            assert!((least..=least + 1).contains(&found), "key:{number} has {found}, {least} was acknowledged");
            acknowledged.store(found, Ordering::Relaxed);
        }
        server.kill();
    }
}

#[test]
fn an_expiry_is_kept_across_a_kill() {
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let server = Server::start(&file);
    let mut client = server.connect();
    assert_eq!(client.ask(&["set", "late", "v", "pxat", "33177117420000"]), "+OK");
    assert_eq!(client.ask(&["set", "soon", "v", "px", "1"]), "+OK");
    while client.ask(&["exists", "soon"]) != ":0" {}
    server.kill();
    let server = Server::start(&file);
    let mut client = server.connect();
    assert_eq!(client.ask(&["pexpiretime", "late"]), ":33177117420000");
    assert_eq!(client.ask(&["exists", "soon"]), ":0");
}
