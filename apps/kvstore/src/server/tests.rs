//! The loop over a medium that fails: what is not durable is never acknowledged. And clients that end right behind what
//! they ask for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::Server;
use super::fairness::{ROUNDS, Scene};
use crate::shared::{ClientLimits, ServerInfo, Shared};
use crate::testing;

/// Sends a request; returns what comes until the connection ends or `most` bytes are there.
fn ask(stream: &mut TcpStream, request: &str, most: usize) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = Read::take(stream, most as u64).read_to_end(&mut reply);
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_turn_that_fails_is_not_acknowledged() {
    let gone = Arc::new(AtomicBool::new(false));
    let (port_sender, port) = mpsc::channel();
    let server_gone = gone.clone();
    let server = std::thread::spawn(move || {
        let pool = testing::pool_that_can_fail(server_gone);
        let limits = ClientLimits::new(pool.value_limit(), 12 << 20, 100);
        let shared = Shared::new(ServerInfo::default(), limits, 1);
        let server = Server::new(testing::listener(), pool, shared).unwrap();
        port_sender.send(server.port()).unwrap();
        server.run().unwrap().close().unwrap();
    });
    let port = port.recv().unwrap();
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();

    assert_eq!(ask(&mut connect(), "set k v\r\n", 5), "+OK\r\n");
    gone.store(true, Ordering::SeqCst);
    let mut bystander = connect();
    assert_eq!(ask(&mut bystander, "get k\r\n", 7), "$1\r\nv\r\n", "reading goes on");
    for request in ["set k w\r\n", "ping\r\nset k w\r\nping\r\n", "set k w\r\ndbsize\r\n", "del k\r\nrandomkey\r\n"] {
        assert_eq!(ask(&mut connect(), request, 100), "", "{request}");
    }
    // Staged in pieces that are committed early: these commits fail as well.
    let large = "x".repeat(1 << 20);
    assert_eq!(ask(&mut connect(), &format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n${}\r\n{large}\r\n", large.len()), 100), "");
    assert_eq!(ask(&mut bystander, "get k\r\n", 7), "$1\r\nv\r\n", "others are not touched");
    gone.store(false, Ordering::SeqCst);
    assert_eq!(ask(&mut connect(), "get k\r\n", 7), "$1\r\nv\r\n", "nothing of it happened");
    assert_eq!(ask(&mut connect(), "set k w\r\nget k\r\n", 12), "+OK\r\n$1\r\nw\r\n");
    assert_eq!(ask(&mut connect(), "shutdown\r\n", 100), "");
    server.join().unwrap();
}

#[test]
fn the_end_behind_a_request_is_seen_however_close_it_follows() {
    let mut scene = Scene::new();
    // Both in one event, and each in one of its own.
    for rounds_between in [0, 3] {
        let mut stream = scene.connect();
        stream.write_all(b"ping\r\n").unwrap();
        for _ in 0..rounds_between {
            scene.round_at_once();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        let ended = (0..ROUNDS).any(|_| {
            scene.round_at_once();
            // Fails with WouldBlock while the connection is open.
            stream.read_to_end(&mut got).is_ok()
        });
        assert!(ended, "after {rounds_between} rounds between");
        assert_eq!(got, b"+PONG\r\n");
    }
}
