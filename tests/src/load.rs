//! A load of writes that knows what it may find afterwards.
//!
//! Several clients write at once, each to keys of its own, in pipelines, until the connection ends. For every key they
//! keep what was acknowledged last and what was sent since. Whatever happens to the machine, the key must afterwards
//! hold the acknowledged value or one of the later ones, whole.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use fastrand::Rng;

use crate::random::random_bytes;
use crate::resp::{Client, Reply, encode};

/// How many clients write.
const CLIENTS: u64 = 4;
/// How many keys each client has, and half as many pairs of keys that it writes together.
const KEYS: u64 = 40;

/// A key's value, or that it has none.
type Value = Option<Vec<u8>>;

/// What is known of one key, or of a pair that always has one value.
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: Value,
    /// What was sent since, in order, and not acknowledged yet.
    sent: Vec<Value>,
}

/// What is known of every key of a store.
#[derive(Clone, Debug, Default)]
pub struct Model {
    keys: BTreeMap<String, Known>,
    acknowledged: u64,
}

/// Writers at work.
#[derive(Debug)]
pub struct Load {
    writers: Vec<JoinHandle<Model>>,
}

impl Load {
    /// Sets the writers to work on a store of which `model` is known.
    pub fn start(address: SocketAddr, model: &Model, seed: u64) -> Self {
        let start = |number| {
            let own = |(key, _): &(&String, &Known)| key.starts_with(&format!("{number}:"));
            let keys = model.keys.iter().filter(own).map(|(key, known)| (key.clone(), known.clone())).collect();
            let mut writer = Writer {
                number,
                model: Model { keys, acknowledged: 0 },
                random: Rng::with_seed(seed * CLIENTS + number),
            };
            thread::spawn(move || {
                // The end of the connection is what the test is about; what counts is how far the writer got.
                let _ = writer.run(address);
                writer.model
            })
        };
        Self { writers: (0..CLIENTS).map(start).collect() }
    }

    /// Waits until every connection has ended, and returns what is known then.
    pub fn finish(self) -> Model {
        let mut all = Model::default();
        for writer in self.writers {
            let model = writer.join().unwrap();
            all.acknowledged += model.acknowledged;
            all.keys.extend(model.keys);
        }
        all
    }
}

struct Writer {
    number: u64,
    model: Model,
    random: Rng,
}

impl Writer {
    fn run(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut client = Client::connect(address)?;
        loop {
            let keys: Vec<String> = (0..1 + self.random.u64(..20)).map(|_| self.key()).collect();
            let mut request = Vec::new();
            for key in &keys {
                let value = self.value();
                request.extend_from_slice(&command(key, value.as_deref()));
                self.model.keys.entry(key.clone()).or_default().sent.push(value);
            }
            client.send(&request)?;
            for key in &keys {
                match client.reply()? {
                    Reply::Status(_) | Reply::Integer(_) => self.model.acknowledge(key),
                    other => panic!("a write is refused: {other:?}"),
                }
            }
        }
    }

    fn key(&mut self) -> String {
        let kind = if self.random.u64(..3) == 0 { "pair" } else { "key" };
        format!("{}:{kind}:{}", self.number, self.random.u64(..KEYS))
    }

    /// Mostly short, sometimes long, sometimes none at all.
    fn value(&mut self) -> Value {
        let length = match self.random.u64(..20) {
            0..3 => return None,
            3..17 => self.random.u64(..200),
            17..19 => self.random.u64(..5000),
            _ => self.random.u64(..100_000),
        };
        Some(random_bytes(&mut self.random, length as usize))
    }
}

/// The two keys of a pair.
fn pair(key: &str) -> Option<[String; 2]> {
    key.contains(":pair:").then(|| [format!("{key}:a"), format!("{key}:b")])
}

/// What gives `key` this value. Both keys of a pair get it by one command, so they can never differ.
fn command(key: &str, value: Option<&[u8]>) -> Vec<u8> {
    match (pair(key), value) {
        (None, Some(value)) => encode(&[b"SET", key.as_bytes(), value]),
        (None, None) => encode(&[b"DEL", key.as_bytes()]),
        (Some([a, b]), Some(value)) => encode(&[b"MSET", a.as_bytes(), value, b.as_bytes(), value]),
        (Some([a, b]), None) => encode(&[b"DEL", a.as_bytes(), b.as_bytes()]),
    }
}

impl Model {
    /// How many writes were acknowledged since the load started.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn acknowledge(&mut self, key: &str) {
        self.acknowledged += 1;
        if let Some(known) = self.keys.get_mut(key) {
            known.acknowledged = known.sent.remove(0);
        }
    }

    /// Compares the store with what is known, which becomes what is there.
    pub fn check(&mut self, client: &mut Client) {
        let mut there = 0;
        for (key, known) in &mut self.keys {
            let found = match pair(key) {
                None => client.get(key),
                Some([a, b]) => {
                    let (a, b) = (client.get(&a), client.get(&b));
                    assert!(a == b, "{key}: one half of a pair was written: {} and {}", length(&a), length(&b));
                    there += i64::from(a.is_some());
                    a
                }
            };
            there += i64::from(found.is_some());
            assert!(
                found == known.acknowledged || known.sent.contains(&found),
                "{key} holds {}, but {} was acknowledged and {} later values were sent",
                length(&found),
                length(&known.acknowledged),
                known.sent.len()
            );
            *known = Known { acknowledged: found, sent: Vec::new() };
        }
        assert_eq!(client.command("DBSIZE"), Reply::Integer(there), "there are other keys than were written");
    }
}

fn length(value: &Value) -> String {
    value.as_ref().map_or("nothing".into(), |value| format!("{} bytes", value.len()))
}
