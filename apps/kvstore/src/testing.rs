//! What tests need: a pool in memory, and a client without a socket.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpListener;
use pmem::medium::{Gone, WriteError};
use pmem::{Counters, FormatOptions, Medium, Pool, sim};

use crate::budget::Budget;
use crate::memory::NoMemory;
use crate::server::client::Client;
use crate::session::{Ends, Others, Session};
use crate::shared::{ClientLimits, ServerInfo, Shared};

/// A socket to listen on, at a port that the system chooses.
pub fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// Memory of `pmem`'s own tests that can be taken away from writers.
pub struct Memory {
    /// The memory itself, which can record what is done to it.
    pub inner: sim::Memory,
    gone: Arc<AtomicBool>,
}

impl Medium for Memory {
    type Reader<'g> = <sim::Memory as Medium>::Reader<'g>;
    type Writer<'g> = <sim::Memory as Medium>::Writer<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        reader
    }

    fn len(&self) -> u64 {
        Medium::len(&self.inner)
    }

    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        self.inner.read(f)
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        if self.gone.load(Ordering::SeqCst) { Err(WriteError::Gone) } else { self.inner.write(f) }
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

/// An empty pool of a few mebibytes.
pub fn pool() -> Pool<Memory> {
    pool_that_can_fail(Arc::default())
}

/// The same; while `gone` is set, no write reaches the medium.
pub fn pool_that_can_fail(gone: Arc<AtomicBool>) -> Pool<Memory> {
    format(8 << 20, gone)
}

/// An empty pool of so many bytes.
pub fn pool_of(bytes: u64) -> Pool<Memory> {
    format(bytes, Arc::default())
}

fn format(bytes: u64, gone: Arc<AtomicBool>) -> Pool<Memory> {
    let medium = Memory { inner: sim::Memory::new(bytes), gone };
    Pool::format(medium, &FormatOptions::new([7; 16])).unwrap()
}

/// The state of client number `id`, which has the port `id`.
pub fn session(id: u64, now_ms: u64) -> Session {
    let ends = Ends { peer: ([127, 0, 0, 1], id as u16).into(), local: ([127, 0, 0, 1], 6379).into(), descriptor: 7 };
    Session::new(id, ends, now_ms)
}

/// Clients that ask for nothing.
pub struct Bystanders(pub Vec<Session>);

impl Others for Bystanders {
    fn each(&mut self, act: &mut dyn FnMut(&mut Session)) {
        self.0.iter_mut().for_each(act);
    }
}

/// A client and the server behind it, without sockets and with a clock of its own.
pub struct Harness {
    /// The pool.
    pub pool: Pool<Memory>,
    /// What it shares with others.
    pub shared: Shared,
    /// The client.
    pub client: Client,
    /// Other clients, which ask for nothing.
    pub others: Bystanders,
    /// The time in Unix milliseconds.
    pub now_ms: u64,
}

impl Harness {
    /// A server with an empty pool, and one client.
    pub fn new() -> Self {
        Self::of(8 << 20)
    }

    /// The same, with a pool of so many bytes.
    pub fn of(bytes: u64) -> Self {
        let pool = pool_of(bytes);
        let limits = ClientLimits::new(pool.value_limit(), 12 << 20, 100);
        let shared = Shared::new(ServerInfo::default(), limits, 1);
        let now_ms = 1_700_000_000_000;
        let session = session(1, now_ms);
        let client = Client::new(session, &shared);
        Self { pool, client, others: Bystanders(Vec::new()), shared, now_ms }
    }

    /// Lets bytes arrive in one piece; returns the replies that were sent.
    pub fn bytes(&mut self, data: &[u8]) -> Vec<u8> {
        let (mut data, mut replies) = (data, Vec::new());
        while !data.is_empty() {
            // The parser learns what it lacks.
            self.client.has_request(&self.shared.limits);
            match self.client.room(&self.shared.limits) {
                Ok(Some(room)) => {
                    let count = room.len().min(data.len());
                    room[..count].copy_from_slice(&data[..count]);
                    self.client.input.filled(count);
                    data = &data[count..];
                }
                Ok(None) => replies.append(&mut self.replies()),
                Err(NoMemory) => assert!(self.client.refuse_input()),
            }
        }
        replies.append(&mut self.replies());
        replies
    }

    /// Executes what has arrived; returns the replies.
    fn replies(&mut self) -> Vec<u8> {
        let mut replies = Vec::new();
        while self.client.has_request(&self.shared.limits) {
            self.turn();
            while !self.client.outbox.sendable().is_empty() {
                let sendable = self.client.outbox.sendable();
                replies.extend_from_slice(sendable);
                let count = sendable.len();
                self.client.outbox.sent(count);
            }
        }
        replies
    }

    /// Runs one turn, the step of the active expiry among it.
    pub fn turn(&mut self) {
        self.shared.begin(self.now_ms * 1000, self.pool.stats());
        let (client, shared, others) = (&mut self.client, &mut self.shared, &mut self.others);
        client.count_buffers(false);
        let ((), receipt) = self
            .pool
            .turn(|turn| {
                let mut budget = Budget::new(|| Duration::ZERO, turn.moved());
                let mut share = budget.share();
                if client.execute(turn, shared, others, &mut share).is_err() {
                    client.refuse_request(turn, shared, others, &mut share);
                }
                budget.put_back(share);
                crate::expire::step(turn, shared, || Duration::ZERO);
            })
            .unwrap();
        self.client.release(&receipt);
    }

    /// Sends one inline request; the reply has `|` for its line ends.
    pub fn send(&mut self, line: &str) -> String {
        let reply = self.bytes(format!("{line}\r\n").as_bytes());
        String::from_utf8(reply).unwrap().replace("\r\n", "|")
    }
}

/// A new client sends each line, and the reply is compared.
pub fn dialogue(lines: &[(&str, &str)]) {
    let mut client = Harness::new();
    for (line, reply) in lines {
        assert_eq!(client.send(line), *reply, "{line}");
    }
}
