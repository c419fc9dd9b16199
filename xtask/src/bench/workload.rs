//! What is asked of a server.

use std::fmt;

use clap::ValueEnum;

use crate::traffic::{Popularity, Traffic};

/// Keys in a server before it is measured, if their values are small.
const KEYS: u64 = 100_000;
/// Bytes of all values, if they are large.
const BYTES: u64 = 64 << 20;

/// A group of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// SET and GET of 64 bytes: 50 connections with pipelines of 1 and 16, and one connection
    Standard,
    /// SET and GET of 64 bytes by 50 connections with pipelines of 1 to 64
    Pipelines,
    /// SET and GET of 64 bytes by 1 to 1000 connections
    Connections,
    /// GET by 50 connections, alone and beside 8 connections that SET
    Mixed,
    /// GET and SET by the same 50 connections, 90:10 and 50:50, of keys that are asked for equally often and by Zipf's
    /// law
    Shares,
    /// SET and GET of 16 bytes to 64 KiB
    Sizes,
}

impl Group {
    /// What it is called in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Pipelines => "pipelines",
            Self::Connections => "connections",
            Self::Mixed => "mixed",
            Self::Shares => "shares",
            Self::Sizes => "sizes",
        }
    }

    /// What it is, as a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Standard => "SET and GET of 64 bytes",
            Self::Pipelines => "Pipelines of 1 to 64",
            Self::Connections => "1 to 1000 connections",
            Self::Mixed => "GET alone and beside writers",
            Self::Shares => "GET and SET in one, and keys by Zipf's law",
            Self::Sizes => "SET and GET of 16 bytes to 64 KiB",
        }
    }
}

/// What clients say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// They write.
    Set,
    /// They read.
    Get,
    /// So many of a hundred requests read, the others write.
    Mix(u32),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set => f.write_str("SET"),
            Self::Get => f.write_str("GET"),
            Self::Mix(reads) => write!(f, "GET:SET {reads}:{}", 100 - reads),
        }
    }
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Of which group it is.
    pub group: Group,
    /// What the measured clients say.
    pub request: Request,
    /// How many there are.
    pub connections: u32,
    /// Requests that each sends at once.
    pub pipeline: u32,
    /// Bytes of a value.
    pub value: u64,
    /// How often they ask for each key.
    pub popularity: Popularity,
    /// Connections that SET meanwhile, each one value at a time.
    pub writers: u32,
}

impl Workload {
    /// All loads of a group, those together that are of the same keys and values: one server can serve them in turns.
    pub fn sets(group: Group) -> Vec<Vec<Self>> {
        let all = Self::of(group);
        all.chunk_by(|one, next| one.value == next.value).map(<[Self]>::to_vec).collect()
    }

    /// All loads of a group.
    pub fn of(group: Group) -> Vec<Self> {
        use Popularity::{Uniform, Zipf};
        use Request::{Get, Mix, Set};
        let load = |request, connections, pipeline, value| Self {
            group,
            request,
            connections,
            pipeline,
            value,
            popularity: Uniform,
            writers: 0,
        };
        let both = |connections, pipeline, value| [Set, Get].map(|it| load(it, connections, pipeline, value));
        match group {
            Group::Standard => [both(50, 16, 64), both(50, 1, 64), both(1, 1, 64)].concat(),
            Group::Pipelines => [1, 4, 16, 64].into_iter().flat_map(|pipeline| both(50, pipeline, 64)).collect(),
            Group::Connections => [1, 10, 100, 1000].into_iter().flat_map(|count| both(count, 1, 64)).collect(),
            Group::Mixed => [0, 8].map(|writers| Self { writers, ..load(Get, 50, 1, 64) }).into(),
            Group::Shares => [90, 50]
                .into_iter()
                .flat_map(|reads| [Uniform, Zipf].map(|popularity| Self { popularity, ..load(Mix(reads), 50, 1, 64) }))
                .collect(),
            Group::Sizes => (4..=16).step_by(2).flat_map(|bits| both(50, 1, 1 << bits)).collect(),
        }
    }

    /// What the clients do where that is more than `redis-benchmark` can: both requests in one, keys that are not asked
    /// for equally often, and readers beside writers. (Two `redis-benchmark`s on one processor wait for each other
    /// longer than for any server.)
    pub fn traffic(&self) -> Option<Traffic> {
        let reads = match self.request {
            Request::Mix(reads) => reads,
            _ if self.popularity == Popularity::Uniform && self.group != Group::Mixed => return None,
            Request::Set => 0,
            Request::Get => 100,
        };
        Some(Traffic {
            connections: self.connections as usize,
            pipeline: self.pipeline as usize,
            value: self.value as usize,
            keys: self.keys(),
            popularity: self.popularity,
            reads,
            writers: self.writers as usize,
        })
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        KEYS.min(BYTES / self.value)
    }

    /// How many requests to measure by, if the server answers so many a second and the load is to last so long. No more
    /// than what keeps the servers' files small, and whole pipelines of all connections.
    pub fn requests(&self, rate: f64, seconds: f64) -> u64 {
        let round = u64::from(self.connections) * u64::from(self.pipeline);
        let most = (4 * BYTES / self.value).max(round);
        ((rate * seconds) as u64).clamp(round, most).next_multiple_of(round)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, connections, pipeline, .. } = self;
        write!(f, "{request} {}, {connections} conn., P={pipeline}", bytes(self.value))?;
        if self.popularity == Popularity::Zipf {
            f.write_str(", Zipf")?;
        }
        match self.writers {
            0 => Ok(()),
            writers => write!(f, ", beside {writers} that SET"),
        }
    }
}

/// A length for people.
pub fn bytes(count: u64) -> String {
    if count >= 1024 { format!("{} KiB", count / 1024) } else { format!("{count} B") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_has_a_name_of_its_own() {
        let all: Vec<_> = Group::value_variants().iter().copied().flat_map(Workload::of).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|load| (load.group as u8, load.to_string())).collect();
        assert_eq!((all.len(), names.len()), (6 + 8 + 8 + 2 + 4 + 14, 6 + 8 + 8 + 2 + 4 + 14));
        let name = |group, number: usize| Workload::of(group)[number].to_string();
        assert_eq!(name(Group::Standard, 0), "SET 64 B, 50 conn., P=16");
        assert_eq!(name(Group::Connections, 7), "GET 64 B, 1000 conn., P=1");
        assert_eq!(name(Group::Mixed, 1), "GET 64 B, 50 conn., P=1, beside 8 that SET");
        assert_eq!(name(Group::Shares, 1), "GET:SET 90:10 64 B, 50 conn., P=1, Zipf");
        assert_eq!(name(Group::Sizes, 13), "GET 64 KiB, 50 conn., P=1");
    }

    #[test]
    fn what_redis_benchmark_cannot_do_is_told_in_full() {
        assert!(Workload::of(Group::Standard).iter().all(|load| load.traffic().is_none()));
        let load = Workload::of(Group::Shares)[3];
        let popularity = Popularity::Zipf;
        let traffic =
            Traffic { connections: 50, pipeline: 1, value: 64, keys: KEYS, popularity, reads: 50, writers: 0 };
        assert_eq!(load.traffic(), Some(traffic));
        let reads = |request| Workload { request, ..load }.traffic().map(|traffic| traffic.reads);
        assert_eq!([Request::Set, Request::Get].map(reads), [Some(0), Some(100)]);
    }

    #[test]
    fn loads_of_one_set_are_of_the_same_values() {
        let lengths = |group| Workload::sets(group).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(Group::Standard), [6]);
        assert_eq!(lengths(Group::Mixed), [2]);
        assert_eq!(lengths(Group::Sizes), [2; 7]);
    }

    #[test]
    fn a_load_lasts_as_long_as_asked_but_for_what_it_writes() {
        let load = Workload::of(Group::Standard)[0];
        assert_eq!(load.requests(100_000.0, 2.0), 200_000);
        assert_eq!(load.requests(100_001.0, 2.0), 200_800);
        assert_eq!(load.requests(0.0, 2.0), 800);
        let large = Workload { value: 64 << 10, pipeline: 1, ..load };
        assert_eq!((large.keys(), large.requests(1e9, 1.0)), (1024, 4100));
    }
}
