//! What is asked of a server.

use std::fmt;

use clap::ValueEnum;

/// Keys in a server before it is measured, if their values are small.
const KEYS: u64 = 100_000;
/// Bytes of all values, if they are large.
const BYTES: u64 = 64 << 20;

/// A group of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// SET and GET of 64 bytes: 50 connections with pipelines of 1 and 16, and one connection
    Standard,
    /// GET by 50 connections, alone and beside 8 connections that SET
    Mixed,
    /// SET and GET of 16 bytes to 64 KiB
    Sizes,
}

impl Group {
    /// What it is called in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Mixed => "mixed",
            Self::Sizes => "sizes",
        }
    }

    /// What it is, as a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Standard => "SET and GET of 64 bytes",
            Self::Mixed => "GET alone and beside writers",
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
}

impl Request {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Get => "GET",
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
        use Request::{Get, Set};
        let load = |request, connections, pipeline, value, writers| Self {
            group,
            request,
            connections,
            pipeline,
            value,
            writers,
        };
        match group {
            Group::Standard => [(50, 16), (50, 1), (1, 1)]
                .iter()
                .flat_map(|&(connections, pipeline)| [Set, Get].map(|it| load(it, connections, pipeline, 64, 0)))
                .collect(),
            Group::Mixed => [0, 8].map(|writers| load(Get, 50, 1, 64, writers)).into(),
            Group::Sizes => {
                (4..=16).step_by(2).flat_map(|bits| [Set, Get].map(|it| load(it, 50, 1, 1 << bits, 0))).collect()
            }
        }
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
        let (request, pipeline) = (self.request.word(), self.pipeline);
        write!(f, "{request} {}, {} conn., P={pipeline}", bytes(self.value), self.connections)?;
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
        let all: Vec<_> = [Group::Standard, Group::Mixed, Group::Sizes].into_iter().flat_map(Workload::of).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|load| (load.group as u8, load.to_string())).collect();
        assert_eq!((all.len(), names.len()), (6 + 2 + 14, 6 + 2 + 14));
        assert_eq!(all[0].to_string(), "SET 64 B, 50 conn., P=16");
        assert_eq!(all[7].to_string(), "GET 64 B, 50 conn., P=1, beside 8 that SET");
        assert_eq!(all[21].to_string(), "GET 64 KiB, 50 conn., P=1");
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
