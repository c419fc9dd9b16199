//! Media in DRAM for tests: a plain one, and a model of what a power cut leaves of it.
//!
//! A [`Memory`] can record every store, write-back and fence, and panics at a store to a write-protected page. A
//! [`Domain`] replays such a trace and keeps apart what is durable from what is only visible: at any point it makes the
//! images that a power cut could leave, word by word. Words of eight bytes are never torn; nothing else is promised
//! (see `docs/pool-format.md`).

mod cut;
mod domain;
mod memory;

pub use domain::{Domain, Words};
pub use memory::{Event, Grant, Memory, WriteGrant};
