//! One client never stops the others: the loop's rounds one by one, with what each does counted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::Server;
use crate::shared::{ClientLimits, ServerInfo, Shared};
use crate::testing::{self, Memory};

/// Rounds after which something is taken not to happen, in case a test is wrong.
pub(super) const ROUNDS: usize = 100_000;
/// What the pool may move in one turn, in bytes: what the budget allows, and one request's excess.
const MOVED: u64 = 12 << 20;

/// A server whose loop is turned by hand.
pub(super) struct Scene {
    /// The server.
    pub(super) server: Server<Memory>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let pool = testing::pool_of(64 << 20);
        let limits = ClientLimits::new(pool.value_limit(), 12 << 20, 100);
        let shared = Shared::new(ServerInfo::default(), limits, 1);
        let mut server = Server::new(testing::listener(), pool, shared).unwrap();
        // However slow the machine is, what is counted bounds a turn.
        server.clock = || Duration::ZERO;
        Self { server }
    }

    /// A client that is connected, and does not wait when it reads.
    pub(super) fn connect(&mut self) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.port())).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        assert_eq!(self.ask(&mut stream, "ping"), "+PONG\r\n");
        stream
    }

    /// One round of the loop. Returns how many bytes the pool moved in it.
    pub(super) fn round(&mut self) -> u64 {
        let before = self.moved();
        self.server.round().unwrap();
        self.moved() - before
    }

    /// The same, without waiting if there is nothing to do.
    pub(super) fn round_at_once(&mut self) -> u64 {
        self.server.acceptable = true;
        self.round()
    }

    /// Bytes that the pool has moved.
    pub(super) fn moved(&self) -> u64 {
        let counters = self.server.pool.stats().medium;
        counters.bytes_loaded + counters.bytes_stored
    }

    /// Sends an inline request, and turns the loop until its reply has ended.
    pub(super) fn ask(&mut self, stream: &mut TcpStream, line: &str) -> String {
        self.rounds(stream, line).0
    }

    /// The same; also says how many rounds that took.
    fn rounds(&mut self, stream: &mut TcpStream, line: &str) -> (String, usize) {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        for round in 1..ROUNDS {
            self.round();
            reply += &read(stream);
            if reply.ends_with("\r\n") {
                return (reply, round);
            }
        }
        panic!("no reply to {line}");
    }

    /// Turns the loop until `busy`, whose request has begun, has got `bytes` of replies, while `other` asks for little
    /// all the time. Returns how often the other was answered before.
    fn beside(&mut self, busy: &mut TcpStream, bytes: usize, other: &mut TcpStream) -> usize {
        let (mut got, mut answered) = (0, 0);
        loop {
            got += read(busy).len();
            if got >= bytes {
                return answered;
            }
            let (reply, rounds) = self.rounds(other, "get small");
            assert_eq!(reply, "$-1\r\n");
            assert!(rounds <= 3, "waited for {rounds} rounds");
            answered += 1;
            assert!(answered < ROUNDS);
        }
    }
}

/// What has arrived.
pub(super) fn read(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1 << 20];
    match stream.read(&mut bytes) {
        Ok(count) => String::from_utf8(bytes[..count].to_vec()).unwrap(),
        Err(_) => String::new(),
    }
}

/// A request of many words.
fn request(words: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    words.for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
    text.into_bytes()
}

/// `name key:0 key:1 …`
pub(super) fn on_keys(name: &str, count: usize) -> Vec<u8> {
    request((0..=count).map(|n| if n == 0 { name.into() } else { format!("key:{n}") }).collect::<Vec<_>>().into_iter())
}

#[test]
fn a_pipeline_into_a_large_value_leaves_the_others_their_turn() {
    let mut scene = Scene::new();
    let (mut busy, mut other) = (scene.connect(), scene.connect());
    assert_eq!(scene.ask(&mut busy, "setrange large 2097151 x"), ":2097152\r\n");
    for (line, reply) in [("setrange large 7 y", ":2097152\r\n"), ("copy large copy replace", ":1\r\n")] {
        busy.write_all(format!("{line}\r\n").repeat(64).as_bytes()).unwrap();
        let executed = |scene: &Scene| scene.server.shared.counters.commands;
        let mut got = String::new();
        while got.len() < 64 * reply.len() {
            let before = executed(&scene);
            let moved = scene.round();
            assert!(moved <= MOVED, "{line}: {moved} bytes in one turn");
            got += &read(&mut busy);
            if moved > 1 << 20 {
                let pipelined = executed(&scene) - before;
                assert!(pipelined < 64, "{line}: all in one turn");
                let (_, rounds) = scene.rounds(&mut other, "ping");
                assert!(rounds <= 3, "{line}: waited for {rounds} rounds");
                got += &read(&mut busy);
            }
        }
        assert_eq!(got, reply.repeat(64));
    }
}

#[test]
fn a_command_on_many_keys_is_done_in_pieces() {
    let mut scene = Scene::new();
    let (mut busy, mut other) = (scene.connect(), scene.connect());
    const KEYS: usize = 20_000;
    for (name, reply) in [
        ("exists", ":0\r\n".into()),
        ("touch", ":0\r\n".into()),
        ("mget", format!("*{KEYS}\r\n{}", "$-1\r\n".repeat(KEYS))),
        ("del", ":0\r\n".into()),
        ("unlink", ":0\r\n".into()),
    ] {
        busy.set_nonblocking(false).unwrap();
        let words = on_keys(name, KEYS);
        for piece in words.chunks(100_000) {
            busy.write_all(piece).unwrap();
            scene.round();
        }
        busy.set_nonblocking(true).unwrap();
        let reply: String = reply;
        let before = scene.beside(&mut busy, reply.len(), &mut other);
        assert!(before > 2, "{name}: others were answered {before} times before");
    }
}

#[test]
fn keys_and_scan_of_all_keys_are_done_in_pieces() {
    let mut scene = Scene::new();
    let (mut busy, mut other) = (scene.connect(), scene.connect());
    const KEYS: usize = 20_000;
    for from in (0..KEYS).step_by(1000) {
        let pairs = (from..from + 1000).map(|n| format!(" key:{n} v")).collect::<String>();
        assert_eq!(scene.ask(&mut busy, &format!("mset{pairs}")), "+OK\r\n");
    }
    let listed = |head: &str| head.len() + (0..KEYS).map(|n| format!("$0\r\nkey:{n}\r\n").len()).sum::<usize>();
    // Not one key matches, and each has to be looked at.
    let glob = format!("*{}[{}]b", "*a".repeat(20), "x".repeat(20_000));
    for (line, bytes) in [
        ("keys *".to_string(), listed("*20000\r\n")),
        ("keys key:*".to_string(), listed("*20000\r\n")),
        ("scan 0 count 1000000".to_string(), listed("*2\r\n$1\r\n0\r\n*20000\r\n")),
        (format!("keys {glob}"), "*0\r\n".len()),
    ] {
        busy.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        scene.round();
        let (moved, before) = (scene.moved(), scene.beside(&mut busy, bytes, &mut other));
        assert!(before > 2, "{line}: others were answered {before} times before");
        assert!(scene.moved() - moved < 8 << 20, "{line}: more than a look at each key");
    }
}
