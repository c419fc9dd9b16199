//! Full-system crash exploration: a real image is booted and used by real clients while a plugin of QEMU's translator
//! records what it does to persistent memory; then the power is cut on paper, all over the record.
//!
//! - [`load`]: what the clients do, by seed, and what they have to be answered.
//! - [`record`]: boots the store and has the clients work; leaves a directory with the traces.
//! - [`timeline`]: at which event of a trace each operation was acknowledged.
//! - [`ledger`]: what a recovered pool may hold, at any moment of the timeline.
//! - [`explore`]: makes the images that a power cut could leave (by `pmem::sim`); [`recover`] opens each with the
//!   pool's own code.
//! - [`finding`]: says what was wrong: which operation, which lines, who stored them.
//!
//! Nothing here knows the pool's format. `docs/crash-exploration.md` is for people.

pub mod explore;
pub mod finding;
pub mod ledger;
pub mod load;
pub mod record;
pub mod recover;
pub mod timeline;
