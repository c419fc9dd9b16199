//! Bytes that clients send, good ones and bad ones.

use std::net::Shutdown;

use crate::host::{Scratch, Server, request};

#[test]
fn a_pipeline_is_answered_in_order() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut client = server.connect();
    let mut pipeline = Vec::new();
    for n in 0..5000 {
        pipeline.extend(request(&["set", &format!("k{}", n % 100), &n.to_string()]));
        pipeline.extend(request(&["get", &format!("k{}", n % 100)]));
        pipeline.extend_from_slice(b"ECHO inline\r\n");
    }
    client.write(&pipeline);
    for n in 0..5000 {
        assert_eq!(client.read(), "+OK");
        assert_eq!(client.read(), n.to_string());
        assert_eq!(client.read(), "inline");
    }
    let commits = client.info("pool_commits");
    assert!(commits < 2500, "5000 writes of one pipeline took {commits} commits");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let (mut client, mut other) = (server.connect(), server.connect());
    for byte in request(&["set", "key", "a value"]) {
        client.write(&[byte]);
        assert_eq!(other.ask(&["ping"]), "+PONG");
    }
    assert_eq!(client.read(), "+OK");
    assert_eq!(other.ask(&["get", "key"]), "a value");
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answers() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut client = server.connect();
    let mut pipeline = b"set k v\r\n".to_vec();
    pipeline.extend(std::iter::repeat_n(&b"get k\r\n"[..], 3000).flatten());
    pipeline.extend_from_slice(b"*2\r\n$3\r\nget\r\n$1\r\n");
    client.write(&pipeline);
    client.stream().shutdown(Shutdown::Write).unwrap();
    let expected = format!("+OK\r\n{}", "$1\r\nv\r\n".repeat(3000));
    assert_eq!(String::from_utf8(client.read_to_end()).unwrap(), expected);
}

#[test]
fn a_protocol_error_ends_its_connection_only() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut good = server.connect();
    for (bytes, reply) in [
        (&b"set k v\r\n*1\r\n$x\r\n"[..], "+OK\r\n-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*99999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\nping\r\n", "-ERR Protocol error: expected '$', got 'p'\r\n"),
        (b"get \"k\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
    ] {
        let mut bad = server.connect();
        bad.write(bytes);
        assert_eq!(String::from_utf8(bad.read_to_end()).unwrap(), reply);
        assert_eq!(good.ask(&["ping"]), "+PONG");
    }
}

#[test]
fn garbage_does_no_harm() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut good = server.connect();
    let mut seed = 0x1234_5678_9abc_def0u64;
    for round in 0..50 {
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        })
        .take(100 + round * 37)
        .collect();
        let mut bad = server.connect();
        bad.write(&garbage);
        // It may be answered with errors or closed; it must end when the client ends.
        let _ = bad.stream().shutdown(Shutdown::Write);
        bad.read_to_end();
        assert_eq!(good.ask(&["ping"]), "+PONG");
    }
}

#[test]
fn large_values_come_and_go() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut client = server.connect();
    let value: String = (0..16 << 20).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    assert_eq!(client.ask(&["set", "k", &value]), "+OK");
    assert!(client.ask(&["get", "k"]) == value, "16 MiB come back as they were");
    assert_eq!(client.ask(&["strlen", "k"]), format!(":{}", value.len()));
    assert_eq!(client.ask(&["getrange", "k", "-3", "-1"]), value[value.len() - 3..]);
    assert!(client.info("used_memory_clients") < 1 << 20, "buffers give their memory back");
}

#[test]
fn values_beyond_the_memory_for_clients_are_refused() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--maxmemory-clients", "12M"]);
    let mut client = server.connect();
    let limit: usize = client.ask(&["config", "get", "proto-max-bulk-len"]).split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(limit, 4 << 20);
    let error = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(client.ask(&["set", "k", &"x".repeat(limit + 1)]), error);
    assert_eq!(client.ask(&["set", "k", &"x".repeat(limit)]), "+OK");
    assert_eq!(client.ask(&["append", "k", "x"]), error);
    let error = "-ERR reply exceeds maximum allowed size (client-output-buffer-limit)";
    assert_eq!(client.ask(&["mget", "k", "k", "k"]), error);
    assert_eq!(client.ask(&["strlen", "k"]), format!(":{limit}"));
    // A request of several such values is dropped as it arrives.
    let long = "x".repeat(limit);
    let error = "-ERR request exceeds maximum allowed size (client-query-buffer-limit)";
    assert_eq!(client.ask(&["mset", "a", &long, "b", &long]), error);
    assert_eq!(client.ask(&["exists", "a", "b"]), ":0");
}

#[test]
fn resp3_is_spoken_when_asked_for() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let mut client = server.connect();
    client.write(b"get k\r\nhello 3\r\nget k\r\nquit\r\n");
    let replies = String::from_utf8(client.read_to_end()).unwrap();
    assert!(replies.starts_with("$-1\r\n%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{replies}");
    assert!(replies.ends_with("*0\r\n_\r\n+OK\r\n"), "{replies}");
}
