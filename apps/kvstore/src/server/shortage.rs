//! The loop when memory is short: it does not turn in vain, and serves whom it can.

use std::io::Write;
use std::time::Duration;

use super::fairness::{ROUNDS, Scene, on_keys, read};
use crate::memory::Charge;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

/// Takes all memory that there is, but first buffers and so many bytes.
fn hog(scene: &Scene, but: usize) -> Charge {
    let mut hog = scene.server.shared.memory.charge();
    hog.grow(scene.server.shared.memory.free() - but).unwrap();
    hog
}

#[test]
fn a_pipeline_longer_than_a_first_buffer_is_served_without_memory_for_more() {
    const REQUESTS: usize = 3000;
    let mut scene = Scene::new();
    let mut client = scene.connect();
    let _hog = hog(&scene, 0);
    client.write_all("ping\r\n".repeat(REQUESTS).as_bytes()).unwrap();
    let mut replies = String::new();
    for _ in 0..ROUNDS {
        scene.round();
        replies += &read(&mut client);
        if replies.len() >= REQUESTS * "+PONG\r\n".len() || scene.server.shared.counters.evicted > 0 {
            break;
        }
    }
    assert!(replies == "+PONG\r\n".repeat(REQUESTS), "{} bytes of replies", replies.len());
}

#[test]
fn requests_that_are_refused_for_memory_cost_their_clients_share() {
    const REQUESTS: usize = 550;
    let mut scene = Scene::new();
    let mut client = scene.connect();
    assert_eq!(scene.ask(&mut client, "setrange k 2097151 x"), ":2097152\r\n");
    // Enough for the errors, and not for the value.
    let _hog = hog(&scene, 1 << 20);
    // The first costs a copy of what there is room for, the second nothing.
    for line in ["get k", "bitop not other k"] {
        client.write_all(format!("{line}\r\n").repeat(REQUESTS).as_bytes()).unwrap();
        let mut replies = String::new();
        for _ in 0..ROUNDS {
            let before = scene.server.shared.counters.errors;
            let moved = scene.round();
            let refused = scene.server.shared.counters.errors - before;
            assert!(refused <= 256 && moved <= 2 << 20, "{refused} refused, {moved} bytes moved in one turn");
            replies += &read(&mut client);
            if replies.len() >= REQUESTS * OOM.len() {
                break;
            }
        }
        assert!(replies == OOM.repeat(REQUESTS), "{line}");
    }
}

#[test]
fn a_client_whose_own_replies_are_in_its_way_has_nothing_done_until_it_reads() {
    const REPLY: usize = "$1048576\r\n\r\n".len() + (1 << 20);
    let mut scene = Scene::new();
    let mut client = scene.connect();
    assert_eq!(scene.ask(&mut client, "setrange k 1048575 x"), ":1048576\r\n");
    let mut gets = 0;
    while scene.server.shared.memory.used() < 3 << 19 {
        client.write_all(b"get k\r\n").unwrap();
        gets += 1;
        assert!(gets < 1000, "the socket takes everything");
        for _ in 0..5 {
            scene.round_at_once();
        }
    }
    let _hog = hog(&scene, 0);
    let errors = scene.server.shared.counters.errors;
    client.write_all(b"get k\r\n").unwrap();
    gets += 1;
    scene.round();
    let mut in_vain = 0;
    while in_vain < 100 && scene.server.timeout() == Some(Duration::ZERO) {
        scene.round();
        in_vain += 1;
    }
    assert!(in_vain < 5, "{in_vain} rounds");
    let mut got = 0;
    for _ in 0..ROUNDS {
        got += read(&mut client).len();
        if got == gets * REPLY {
            break;
        }
        scene.round_at_once();
    }
    assert_eq!((got, scene.server.shared.counters.errors), (gets * REPLY, errors), "it is served in the end");
}

#[test]
fn a_client_that_waits_for_the_server_is_not_idle() {
    const KEYS: usize = 20_000;
    let mut scene = Scene::new();
    let mut client = scene.connect();
    assert_eq!(scene.ask(&mut client, "config set timeout 1000"), "+OK\r\n");
    let before = scene.server.shared.counters.commands;
    for piece in on_keys("mget", KEYS).chunks(50_000) {
        client.write_all(piece).unwrap();
        scene.round();
    }
    while scene.server.shared.counters.commands == before {
        scene.round();
    }
    assert_eq!(read(&mut client), "", "it is not done");
    scene.server.started -= Duration::from_secs(2000);
    let whole = format!("*{KEYS}\r\n{}", "$-1\r\n".repeat(KEYS));
    let mut reply = String::new();
    for _ in 0..ROUNDS {
        scene.round_at_once();
        reply += &read(&mut client);
        if reply.len() >= whole.len() || scene.server.shared.clients == 0 {
            break;
        }
    }
    assert!(reply == whole, "{} bytes", reply.len());
    scene.server.started -= Duration::from_secs(2000);
    scene.round_at_once();
    assert_eq!(scene.server.shared.clients, 0, "now it is");
}
