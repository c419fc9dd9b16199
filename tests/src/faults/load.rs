//! The load of a run: clients that write, know what was acknowledged, and read some of it back.
//!
//! Unlike the load of the durability tests these clients expect the worst: whatever the server answers is written down
//! and nothing fails.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;

use crate::random::random_bytes;
use crate::resp::{Client, Reply, encode};

/// How many clients write.
const CLIENTS: u64 = 2;
/// How many keys each client has.
const KEYS: u64 = 32;
/// How many complaints a client writes down; one is enough to know.
const COMPLAINTS: usize = 4;
/// How often a client connects again after its connection has ended.
const CONNECTIONS: usize = 3;

/// A key's value, or that it has none.
pub type Value = Option<Vec<u8>>;

/// What is known of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The value that was acknowledged last.
    pub acknowledged: Value,
    /// The values that were sent since, in order, and not acknowledged yet.
    pub sent: Vec<Value>,
    /// The values that were acknowledged before the last one, the newest last.
    pub older: Vec<Value>,
}

/// What is known of every key of a store.
pub type Ledger = BTreeMap<String, Known>;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    progress: Arc<Progress>,
    clients: Vec<JoinHandle<(Ledger, Vec<String>)>>,
}

/// How far all clients are together.
#[derive(Debug, Default)]
struct Progress {
    acknowledged: AtomicU64,
    /// Set when the clients may go home.
    over: AtomicBool,
    /// How many clients have given up.
    ended: AtomicU64,
    changed: (Mutex<()>, Condvar),
}

impl Progress {
    fn tell(&self) {
        let _lock = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.1.notify_all();
    }
}

impl Load {
    /// Sets the clients to work on a store that holds `prefilled`, which they read and leave as it is.
    pub fn start(address: SocketAddr, seed: u64, prefilled: &Arc<Ledger>) -> Self {
        let progress = Arc::new(Progress::default());
        let start = |number| {
            let mut writer = Writer {
                number,
                ledger: Ledger::new(),
                complaints: Vec::new(),
                random: Rng::with_seed(seed.wrapping_mul(CLIENTS).wrapping_add(number)),
                prefilled: Arc::clone(prefilled),
                progress: Arc::clone(&progress),
            };
            thread::spawn(move || {
                writer.work(address);
                writer.progress.ended.fetch_add(1, Ordering::SeqCst);
                writer.progress.tell();
                (writer.ledger, writer.complaints)
            })
        };
        let clients = (0..CLIENTS).map(start).collect();
        Self { progress, clients }
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.progress.acknowledged.load(Ordering::SeqCst)
    }

    /// Whether every client has given up.
    pub fn is_over(&self) -> bool {
        self.progress.ended.load(Ordering::SeqCst) == CLIENTS
    }

    /// Waits until so many writes were acknowledged, or nobody writes any more, but no longer than `timeout`.
    pub fn wait_for(&self, writes: u64, timeout: Duration) {
        let lock = self.progress.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = |_: &mut ()| self.acknowledged() < writes && !self.is_over();
        // What it returns is whether it waited too long, and the caller looks for itself.
        drop(self.progress.changed.1.wait_timeout_while(lock, timeout, unfinished));
    }

    /// Tells the clients that the end of their connections is nothing to complain about from now on.
    pub fn end(&self) {
        self.progress.over.store(true, Ordering::SeqCst);
    }

    /// Waits until every connection has ended, which it does with the machine. What is known then, and what the clients
    /// complain about.
    pub fn finish(self) -> (Ledger, Vec<String>) {
        self.end();
        let (mut ledger, mut complaints) = (Ledger::new(), Vec::new());
        for client in self.clients {
            let (known, complained) = client.join().expect("a client that panics is a mistake of this program");
            ledger.extend(known);
            complaints.extend(complained);
        }
        (ledger, complaints)
    }
}

struct Writer {
    number: u64,
    ledger: Ledger,
    complaints: Vec<String>,
    random: Rng,
    prefilled: Arc<Ledger>,
    progress: Arc<Progress>,
}

impl Writer {
    fn work(&mut self, address: SocketAddr) {
        for _ in 0..CONNECTIONS {
            let result = self.talk(address);
            if self.is_over() {
                return;
            }
            if let Err(error) = result {
                self.complain(format!("the connection ended: {error}"));
            }
            // What was sent and not acknowledged may have been stored all the same, and stays in the ledger.
        }
    }

    fn is_over(&self) -> bool {
        self.progress.over.load(Ordering::SeqCst)
    }

    fn complain(&mut self, complaint: String) {
        if !self.is_over() && self.complaints.len() < COMPLAINTS {
            self.complaints.push(format!("client {}: {complaint}", self.number));
        }
    }

    fn talk(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut client = Client::connect(address)?;
        while !self.is_over() {
            self.write(&mut client)?;
            if self.random.u64(..4) == 0 {
                self.read(&mut client)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, client: &mut Client) -> io::Result<()> {
        let keys: Vec<String> = (0..1 + self.random.u64(..8)).map(|_| self.key()).collect();
        let mut request = Vec::new();
        for key in &keys {
            let value = self.value();
            request.extend_from_slice(&match &value {
                Some(value) => encode(&[b"SET", key.as_bytes(), value]),
                None => encode(&[b"DEL", key.as_bytes()]),
            });
            self.ledger.entry(key.clone()).or_default().sent.push(value);
        }
        client.send(&request)?;
        for key in &keys {
            match client.reply()? {
                Reply::Status(_) | Reply::Integer(_) => self.acknowledge(key),
                other => {
                    self.complain(format!("a write is refused: {}", shown(&other)));
                    return Err(io::Error::other("a write is refused"));
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, key: &str) {
        let Some(known) = self.ledger.get_mut(key) else { return };
        let value = known.sent.remove(0);
        let before = std::mem::replace(&mut known.acknowledged, value);
        known.older.push(before);
        self.progress.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.progress.tell();
    }

    /// Reads a key that this client or nobody writes, and compares.
    fn read(&mut self, client: &mut Client) -> io::Result<()> {
        let own = self.random.u64(..2) == 0;
        let key = if own { self.key() } else { prefilled_key(self.random.u64(..self.prefilled.len().max(1) as u64)) };
        let known = if own { self.ledger.get(&key) } else { self.prefilled.get(&key) };
        let (acknowledged, later) = known.map_or((None, Vec::new()), |k| (k.acknowledged.clone(), k.sent.clone()));
        let found = match client.try_command(&[b"GET", key.as_bytes()])? {
            Reply::Bulk(bytes) => Some(bytes),
            Reply::Null => None,
            other => {
                self.complain(format!("a read is refused: {}", shown(&other)));
                return Ok(());
            }
        };
        if found != acknowledged && !later.contains(&found) {
            self.complain(format!("{key} reads as {}, not as {}", length(&found), length(&acknowledged)));
        }
        Ok(())
    }

    fn key(&mut self) -> String {
        format!("{}:{}", self.number, self.random.u64(..KEYS))
    }

    /// Mostly short, sometimes long, sometimes none at all.
    fn value(&mut self) -> Value {
        let length = match self.random.u64(..20) {
            0 => return None,
            1..18 => 16 + self.random.u64(..500),
            18 => self.random.u64(..4000),
            _ => self.random.u64(..20_000),
        };
        Some(random_bytes(&mut self.random, length as usize))
    }
}

/// The name of a key that was there before the run.
pub fn prefilled_key(number: u64) -> String {
    format!("old:{number}")
}

/// A value for people: its length, which tells values of the load apart well enough.
pub fn length(value: &Value) -> String {
    value.as_ref().map_or("nothing".into(), |value| format!("{} bytes", value.len()))
}

fn shown(reply: &Reply) -> String {
    let mut text = format!("{reply:?}");
    text.truncate(text.char_indices().nth(120).map_or(text.len(), |(at, _)| at));
    text
}
