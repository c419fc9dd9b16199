//! Clients of a store, all on one thread: they read and write keys, and look at every answer.
//!
//! `redis-benchmark` asks for all keys equally often, and either reads or writes. These can do both at once, by keys of
//! which some are asked for more often than others, and are the same ones each time. [`clients`] has their connections,
//! [`choice`] what they ask for, [`answers`] what is told of the times that answers took.

mod answers;
mod choice;
mod clients;

pub use answers::Answers;
pub use choice::Popularity;
pub use clients::Clients;

/// What clients do. Each sends its next requests as soon as it has the answers to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// How many clients there are.
    pub connections: usize,
    /// Requests that each sends at once.
    pub pipeline: usize,
    /// Bytes of a value: of those that are written, and of those that are there.
    pub value: usize,
    /// How many keys there are.
    pub keys: u64,
    /// How often each is asked for.
    pub popularity: Popularity,
    /// Of a hundred requests so many read; the others write.
    pub reads: u32,
    /// How many more there are beside them that only write, one value at a time, and of which nothing is told.
    pub writers: usize,
}
