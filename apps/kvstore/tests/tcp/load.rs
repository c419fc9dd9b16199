//! Many clients, and inconsiderate ones.

use std::io::{ErrorKind, Write};

use crate::host::{Scratch, Server, request};

#[test]
fn three_hundred_clients_are_served() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut clients: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write(&request(&["set", &format!("k{number}"), &format!("{number}.{round}")]));
            client.write(&request(&["get", &format!("k{number}")]));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read(), "+OK");
            assert_eq!(client.read(), format!("{number}.{round}"));
        }
    }
    assert_eq!(clients[0].info("connected_clients"), 300);
    clients.truncate(1);
    while clients[0].info("connected_clients") > 1 {}
}

#[test]
fn too_many_clients_are_told_so() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxclients", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!((first.ask(&["ping"]), second.ask(&["ping"])), ("+PONG".into(), "+PONG".into()));
    assert_eq!(server.connect().read_to_end(), b"-ERR max number of clients reached\r\n");
    drop(second);
    while first.info("connected_clients") > 1 {}
    assert_eq!(server.connect().ask(&["ping"]), "+PONG");
}

/// A client asks for much and reads nothing: it is not read from, memory stays bounded, and others are served. When it
/// reads at last, it gets every reply.
#[test]
fn a_client_that_does_not_read_is_not_served() {
    const VALUE: usize = 100_000;
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxmemory-clients", "16M"]);
    let (mut slow, mut other) = (server.connect(), server.connect());
    assert_eq!(other.ask(&["set", "k", &"x".repeat(VALUE)]), "+OK");
    let ask = b"get k\r\n".repeat(1000);
    let mut sent = 0;
    slow.stream().set_nonblocking(true).unwrap();
    // Full for good is what stays full while somebody else is served often.
    let mut refusals = 0;
    while refusals < 50 {
        let from = sent % ask.len();
        match slow.stream().write(&ask[from..]) {
            Ok(count) => {
                sent += count;
                refusals = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => refusals += 1,
            Err(error) => panic!("{error}"),
        }
        let held = other.info("used_memory_clients");
        // A quarter of the memory, the last reply that went over it, and blocks that are not full.
        assert!(held < 5 << 20, "{held} bytes are held for a client that does not read");
        assert!(sent < 64 << 20, "requests are taken in without end");
    }
    slow.stream().set_nonblocking(false).unwrap();
    let requests = sent / b"get k\r\n".len();
    // All of them would be gigabytes: a part is proof enough that none is missing or damaged.
    for _ in 0..requests.min(300) {
        assert_eq!(slow.read().len(), VALUE);
    }
    drop(slow);
    while other.info("connected_clients") > 1 {}
    assert_eq!(other.ask(&["strlen", "k"]), format!(":{VALUE}"));
}

#[test]
fn clients_come_and_go() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut constant = server.connect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for n in 0..200 {
                    let mut client = server.connect();
                    assert_eq!(client.ask(&["incr", &format!("count:{thread}")]), format!(":{}", n + 1));
                    if n % 3 == 0 {
                        client.write(b"get half-a-requ");
                    }
                }
            });
        }
    });
    assert_eq!(constant.ask(&["mget", "count:0", "count:1", "count:2", "count:3"]), "200 200 200 200");
    assert_eq!(constant.info("total_connections_received"), 801);
}

/// Who does not read its replies makes room for who does, the one that has not read for longest first. Whoever sends a
/// request is left alone, however much it holds.
#[test]
fn clients_that_do_not_read_make_room_for_those_that_do() {
    const VALUE: usize = 3 << 20;
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxmemory-clients", "16M"]);
    let mut other = server.connect();
    let value = "x".repeat(VALUE);
    assert_eq!(other.ask(&["set", "k", &value]), "+OK");
    // Half of a request, which is held all the time.
    let mut sender = server.connect();
    let request = request(&["set", "sent", &value]);
    sender.write(&request[..VALUE / 2]);
    // The system's own buffers take some of the replies.
    let mut deaf: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut deaf {
        client.write(&b"get k\r\n".repeat(4));
        assert_eq!(other.ask(&["ping"]), "+PONG");
    }
    for round in 0..5 {
        assert_eq!(other.ask(&["set", &format!("k{round}"), &value]), "+OK", "round {round}");
    }
    assert!(other.info("evicted_clients") > 0);
    sender.write(&request[VALUE / 2..]);
    assert_eq!(sender.read(), "+OK");
}

/// More clients than fit into one turn, each with more requests than its share of one: all get on.
#[test]
fn everybody_has_a_turn() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    let pipeline = request(&["incr", "n"]).repeat(2000);
    std::thread::scope(|scope| {
        for client in &mut clients {
            let pipeline = &pipeline;
            scope.spawn(move || {
                client.write(pipeline);
                let mut last = 0;
                for _ in 0..2000 {
                    let count: u64 = client.read()[1..].parse().unwrap();
                    assert!(count > last);
                    last = count;
                }
            });
        }
    });
    assert_eq!(clients[0].ask(&["get", "n"]), "48000");
}

/// Replies of several clients at once are longer than the memory for all of them: memory stays bounded even within a
/// turn, and who keeps reading gets everything.
#[test]
fn large_replies_do_not_add_up() {
    const VALUE: usize = 4 << 20;
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxmemory-clients", "12M"]);
    let mut other = server.connect();
    assert_eq!(other.ask(&["set", "k", &"x".repeat(VALUE)]), "+OK");
    let mut idle: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.write(&b"get k\r\n".repeat(10));
    }
    // Two of them fit, and every one is served: the others have been closed for it.
    while other.info("evicted_clients") < 9 {
        assert!(other.info("used_memory_clients") <= 12 << 20);
    }
    drop(idle);
    for _ in 0..5 {
        assert_eq!(other.ask(&["get", "k"]).len(), VALUE);
    }
}

/// The server reads on while replies queue up: a pipeline can be sent whole before its first reply is read.
#[test]
fn a_long_pipeline_is_answered_that_is_sent_whole_before_any_reply_is_read() {
    const REQUESTS: usize = 300_000;
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut client = server.connect();
    let value = "x".repeat(100);
    assert_eq!(client.ask(&["set", "k", &value]), "+OK");
    client.write(&b"get k\r\n".repeat(REQUESTS));
    for number in 0..REQUESTS {
        assert_eq!(client.read(), value, "reply {number}");
    }
}

/// Who does not read holds what it may, and who asks for much gets it all the same.
#[test]
fn large_writes_go_through_beside_clients_that_do_not_read() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxmemory-clients", "64M"]);
    let mut honest = server.connect();
    assert_eq!(honest.ask(&["set", "k", &"x".repeat(1_500_000)]), "+OK");
    let mut deaf: Vec<_> = (0..43).map(|_| server.connect()).collect();
    for client in &mut deaf {
        client.write(&b"get k\r\n".repeat(4));
    }
    for size in [2_000_000, 4_000_000, 8_000_000, 16_000_000, 20_000_000] {
        assert_eq!(honest.ask(&["set", "large", &"y".repeat(size)]), "+OK", "{size} bytes");
    }
    assert!(honest.info("evicted_clients") > 0);
}

#[test]
fn idle_clients_are_closed_and_others_are_not() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let (mut idle, mut active) = (server.connect(), server.connect());
    assert_eq!(idle.ask(&["ping"]), "+PONG");
    assert_eq!(active.ask(&["config", "set", "timeout", "1"]), "+OK");
    while active.info("connected_clients") > 1 {}
    assert_eq!(idle.read_to_end(), b"");
    assert_eq!(active.ask(&["ping"]), "+PONG");
}

#[test]
fn idle_clients_are_closed_by_the_timeout_of_the_command_line() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--timeout", "1"]);
    assert_eq!(server.connect().read_to_end(), b"");
    assert_eq!(server.connect().ask(&["config", "get", "timeout"]), "timeout 1");
}
