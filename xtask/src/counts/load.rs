//! What clients ask of the store while it is counted.

use clap::ValueEnum;

use crate::traffic::{Popularity, Traffic};

/// Bytes of a value.
pub const VALUE: usize = 64;

/// A load: clients that write, or read, keys at random. Each sends its next requests as soon as it has the answers to
/// those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Load {
    /// 50 connections write, one request at a time
    SetP1,
    /// 50 connections read, one request at a time
    GetP1,
    /// 50 connections write, 16 requests at a time
    SetP16,
    /// 50 connections read, 16 requests at a time
    GetP16,
    /// One connection writes, one request at a time
    SetOne,
    /// One connection reads, one request at a time
    GetOne,
}

impl Load {
    /// Its name on the command line, and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetP1 => "set-p1",
            Self::GetP1 => "get-p1",
            Self::SetP16 => "set-p16",
            Self::GetP16 => "get-p16",
            Self::SetOne => "set-one",
            Self::GetOne => "get-one",
        }
    }

    /// Whether the clients write; else they read.
    pub fn writes(self) -> bool {
        matches!(self, Self::SetP1 | Self::SetP16 | Self::SetOne)
    }

    /// What the clients do, with so many keys.
    pub fn traffic(self, keys: u64) -> Traffic {
        Traffic {
            connections: self.connections(),
            pipeline: self.pipeline(),
            value: VALUE,
            keys,
            popularity: Popularity::Uniform,
            reads: if self.writes() { 0 } else { 100 },
            writers: 0,
        }
    }

    /// How many there are.
    pub fn connections(self) -> usize {
        if matches!(self, Self::SetOne | Self::GetOne) { 1 } else { 50 }
    }

    /// Requests that each sends at once.
    pub fn pipeline(self) -> usize {
        if matches!(self, Self::SetP16 | Self::GetP16) { 16 } else { 1 }
    }

    /// How many requests are counted if nothing else is said, in whole pipelines of all connections: so many that the
    /// beginning and the end do not matter.
    pub fn requests(self) -> u64 {
        match (self.connections(), self.pipeline()) {
            (1, _) => 4_000,
            (_, 1) => 20_000,
            _ => 96_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_has_its_name_and_whole_rounds() {
        for load in Load::value_variants() {
            assert_eq!(load.to_possible_value().unwrap().get_name(), load.name());
            assert_eq!(load.requests() % (load.connections() * load.pipeline()) as u64, 0, "{load:?}");
        }
    }
}
