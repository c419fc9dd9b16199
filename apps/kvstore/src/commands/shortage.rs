//! What clients get when there is no memory: a whole reply or an error, and what was refused did not happen.

use crate::memory::Charge;
use crate::statistics::Counters;
use crate::testing::Harness;

/// A request with these arguments.
fn request(arguments: &[String]) -> Vec<u8> {
    let all = arguments.iter().map(|argument| format!("${}\r\n{argument}\r\n", argument.len()));
    format!("*{}\r\n{}", arguments.len(), all.collect::<String>()).into_bytes()
}

/// Lets `bytes` arrive, and executes nothing.
fn arrive(client: &mut Harness, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.client.has_request(&client.shared.limits);
        let room = client.client.room(&client.shared.limits).unwrap().unwrap();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        client.client.input.filled(count);
        bytes = &bytes[count..];
    }
}

/// Takes all memory that there is but first buffers.
fn hog(client: &Harness) -> Charge {
    let mut hog = client.shared.memory.charge();
    hog.grow(client.shared.memory.free()).unwrap();
    hog
}

/// Lets an `MGET` arrive that takes two turns, and does the first one. The reply's first block is full then, so that
/// its head needs a block more.
fn begin_mget(client: &mut Harness) {
    let words: Vec<String> = (0..=4197).map(|n| if n == 0 { "mget".into() } else { format!("key:{n}") }).collect();
    assert_eq!(client.send(&format!("set key:1 {}", "v".repeat(5000))), "+OK|");
    client.shared.counters = Counters::default();
    arrive(client, &request(&words));
    client.turn();
    assert_eq!(client.client.outbox.sendable(), b"", "it is not done");
}

#[test]
fn an_mget_without_memory_for_its_head_is_refused_whole() {
    let mut client = Harness::new();
    begin_mget(&mut client);
    let _hog = hog(&client);
    let replies = client.bytes(b"ping\r\n");
    let replies = String::from_utf8_lossy(&replies);
    assert_eq!(replies, "-OOM command not allowed when used memory > 'maxmemory'.\r\n+PONG\r\n");
    assert_eq!(client.shared.counters.commands, 1, "what is refused is not counted");
}

#[test]
fn client_list_of_many_ids_takes_no_memory_that_is_not_there() {
    let mut client = Harness::new();
    let words = ["client", "list", "id"].into_iter().chain(std::iter::repeat_n("99", 10_000));
    arrive(&mut client, &request(&words.map(String::from).collect::<Vec<_>>()));
    assert!(client.client.has_request(&client.shared.limits), "it is there, and what is known of it");
    let _hog = hog(&client);
    client.turn();
    assert_eq!(client.client.outbox.sendable(), b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
}

#[test]
fn exec_aborts_when_a_request_was_too_long() {
    let mut client = Harness::new();
    let longest = client.shared.limits.parser.argument;
    assert_eq!(client.send("multi"), "+OK|");
    let reply = client.bytes(&request(&["set".into(), "k".into(), "v".repeat(longest + 1)]));
    assert!(reply.starts_with(b"-ERR"), "{}", String::from_utf8_lossy(&reply));
    assert_eq!(client.send("exec"), "-EXECABORT Transaction discarded because of previous errors.|");
    assert_eq!(client.send("exec"), "-ERR EXEC without MULTI|");
}

#[test]
fn exec_aborts_when_there_was_no_memory_for_a_request() {
    let mut client = Harness::new();
    assert_eq!(client.send("multi"), "+OK|");
    let hog = hog(&client);
    let reply = client.bytes(&request(&["set".into(), "k".into(), "v".repeat(100_000)]));
    assert!(reply.starts_with(b"-OOM"), "{}", String::from_utf8_lossy(&reply));
    drop(hog);
    assert_eq!(client.send("exec"), "-EXECABORT Transaction discarded because of previous errors.|");
}

#[test]
fn counts_that_were_reset_meanwhile_do_not_run_below_zero() {
    let mut client = Harness::new();
    begin_mget(&mut client);
    client.shared.counters = Counters::default();
    let _hog = hog(&client);
    client.turn();
    assert_eq!(client.shared.counters.commands, 0);
}

#[test]
fn a_client_that_is_closed_within_a_command_gives_its_memory_back() {
    let mut client = Harness::new();
    begin_mget(&mut client);
    assert!(client.shared.memory.used() > 0);
    client.client.abandon();
    assert_eq!((client.client.whole_replies(), client.client.memory(), client.shared.memory.used()), (0, 0, 0));
}
