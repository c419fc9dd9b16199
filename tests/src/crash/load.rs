//! What the clients do: everything follows from a seed, the answers too.
//!
//! A run has lives, one for each boot. A life has phases; in a phase all clients work at once, each on keys of its own,
//! in pipelines. Between phases all are quiet, and one client may remove everything. So the order of operations is
//! known as far as it matters: per client, and over all clients at each FLUSHALL.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::random::random_bytes;
use crate::resp::encode;

/// How large a load is, and what it follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// What every choice follows from.
    pub seed: u64,
    /// How many clients work at once.
    pub clients: u64,
    /// Boots.
    pub lives: u64,
    /// Phases of each life.
    pub phases: u64,
    /// Pipelines of each client in a phase.
    pub pipelines: u64,
}

/// An operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `SET`, with `PXAT` if there is an expiry (which is far away).
    Set(String, Vec<u8>, Option<u64>),
    /// `SET … PX`: the key is gone soon, nobody knows when.
    SetBriefly(String, Vec<u8>),
    /// `DEL`, and how many of the keys are there.
    Delete(Vec<String>, u64),
    /// `MSET`.
    SetAll(Vec<(String, Vec<u8>)>),
    /// `FLUSHALL`.
    Flush,
}

/// Operations that are sent at once.
pub type Pipeline = Vec<Operation>;

/// What happens between two moments at which all clients are quiet.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// By client.
    pub clients: Vec<Vec<Pipeline>>,
}

/// What happens from one boot to the next.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// One after the other.
    pub phases: Vec<Phase>,
}

/// How long a key lives that is set to live briefly, in milliseconds.
const BRIEFLY: u64 = 30;
/// Keys of each client.
const KEYS: u64 = 40;
/// The year 2100: expiries are later than any run.
const FAR_AWAY: u64 = 4_102_444_800_000;

impl Operation {
    /// The command.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Set(key, value, None) => encode(&[b"SET", key.as_bytes(), value]),
            Self::Set(key, value, Some(at)) => {
                encode(&[b"SET", key.as_bytes(), value, b"PXAT", at.to_string().as_bytes()])
            }
            Self::SetBriefly(key, value) => {
                encode(&[b"SET", key.as_bytes(), value, b"PX", BRIEFLY.to_string().as_bytes()])
            }
            Self::Delete(keys, _) => {
                let words: Vec<&[u8]> = [&b"DEL"[..]].into_iter().chain(keys.iter().map(String::as_bytes)).collect();
                encode(&words)
            }
            Self::SetAll(pairs) => {
                let pairs = pairs.iter().flat_map(|(key, value)| [key.as_bytes(), value]);
                encode(&[&b"MSET"[..]].into_iter().chain(pairs).collect::<Vec<_>>())
            }
            Self::Flush => encode(&[b"FLUSHALL"]),
        }
    }

    /// The answer.
    pub fn reply(&self) -> Vec<u8> {
        match self {
            Self::Delete(_, found) => format!(":{found}\r\n").into_bytes(),
            _ => b"+OK\r\n".to_vec(),
        }
    }

    /// Whether it changes this key.
    pub fn is_about(&self, key: &str) -> bool {
        match self {
            Self::Set(own, ..) | Self::SetBriefly(own, _) => own == key,
            Self::Delete(keys, _) => keys.iter().any(|own| own == key),
            Self::SetAll(pairs) => pairs.iter().any(|(own, _)| own == key),
            Self::Flush => true,
        }
    }

    /// It in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Set(key, value, None) => format!("SET {key} ({} bytes)", value.len()),
            Self::Set(key, value, Some(at)) => format!("SET {key} ({} bytes) PXAT {at}", value.len()),
            Self::SetBriefly(key, value) => format!("SET {key} ({} bytes) PX {BRIEFLY}", value.len()),
            Self::Delete(keys, _) => format!("DEL {}", keys.join(" ")),
            Self::SetAll(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} ({} bytes)", value.len())).collect();
                format!("MSET {}", pairs.join(" "))
            }
            Self::Flush => "FLUSHALL".into(),
        }
    }
}

impl Size {
    /// The load. Equal sizes make equal loads.
    pub fn load(&self) -> Vec<Life> {
        let mut clients: Vec<Client> = (0..self.clients)
            .map(|number| Client {
                number,
                random: Rng::with_seed(self.seed.wrapping_mul(1000).wrapping_add(number)),
                there: BTreeSet::new(),
            })
            .collect();
        let mut random = Rng::with_seed(self.seed);
        let mut lives = Vec::new();
        for _ in 0..self.lives {
            let mut life = Life::default();
            for _ in 0..self.phases {
                let work = |client: &mut Client| (0..self.pipelines).map(|_| client.pipeline()).collect();
                life.phases.push(Phase { clients: clients.iter_mut().map(work).collect() });
                // Who removes everything is alone in a phase.
                if random.u64(..3) == 0 {
                    let mut alone = vec![Vec::new(); clients.len()];
                    alone[0] = vec![vec![Operation::Flush]];
                    life.phases.push(Phase { clients: alone });
                    clients.iter_mut().for_each(|client| client.there.clear());
                }
            }
            lives.push(life);
        }
        lives
    }
}

struct Client {
    number: u64,
    random: Rng,
    /// The keys that are there when everything so far is done.
    there: BTreeSet<String>,
}

impl Client {
    fn pipeline(&mut self) -> Pipeline {
        let most = if self.random.u64(..3) == 0 { 1 } else { 16 };
        (0..1 + self.random.u64(..most)).map(|_| self.operation()).collect()
    }

    fn operation(&mut self) -> Operation {
        match self.random.u64(..20) {
            0..10 => Operation::Set(self.new_key(), self.value(), None),
            10..12 => {
                let at = FAR_AWAY + self.random.u64(..1 << 32);
                Operation::Set(self.new_key(), self.value(), Some(at))
            }
            12 => {
                let key = format!("{}:brief:{}", self.number, self.random.u64(..4));
                Operation::SetBriefly(key, self.value())
            }
            13..16 => {
                let keys: BTreeSet<String> = (0..1 + self.random.u64(..3)).map(|_| self.key()).collect();
                let found = keys.iter().filter(|key| self.there.remove(*key)).count();
                Operation::Delete(keys.into_iter().collect(), found as u64)
            }
            _ => {
                let pairs = (0..2 + self.random.u64(..3)).map(|_| (self.new_key(), self.short_value())).collect();
                Operation::SetAll(pairs)
            }
        }
    }

    fn key(&mut self) -> String {
        format!("{}:{}", self.number, self.random.u64(..KEYS))
    }

    fn new_key(&mut self) -> String {
        let key = self.key();
        self.there.insert(key.clone());
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.random.u64(..40) {
            0..2 => 0,
            2..26 => self.random.u64(..200),
            26..36 => self.random.u64(..2000),
            // From here on some lie in chunks.
            36..39 => self.random.u64(..8000),
            _ => self.random.u64(..50_000),
        };
        random_bytes(&mut self.random, length as usize)
    }

    fn short_value(&mut self) -> Vec<u8> {
        let length = self.random.u64(..300);
        random_bytes(&mut self.random, length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_loads_and_every_kind_of_operation_is_there() {
        let size = Size { seed: 1, clients: 3, lives: 2, phases: 6, pipelines: 40 };
        let operations = |seed| -> Vec<Operation> {
            let lives = Size { seed, ..size.clone() }.load();
            let phases = lives.into_iter().flat_map(|life| life.phases);
            phases.flat_map(|phase| phase.clients).flatten().flatten().collect()
        };
        let some = operations(1);
        assert_eq!(some, operations(1));
        assert_ne!(some, operations(2));
        let kinds: BTreeSet<String> = some
            .iter()
            .map(|operation| match operation {
                Operation::Set(_, value, expiry) => format!("set {} {}", value.len() > 8000, expiry.is_some()),
                other => other.describe().split(' ').next().unwrap_or_default().to_owned(),
            })
            .collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
