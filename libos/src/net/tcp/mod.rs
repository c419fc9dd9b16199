//! TCP: the connections and listeners of both links, and what smoltcp's TCP needs around it.
//!
//! [`Connections`] has them all. One of them is [`connection`]; its buffers change with its use (`resize`), and time
//! alone may give it something to do (`timers`). What runs its protocol is its [`engine`]: the [`fast_path`] while all
//! goes well, and else smoltcp, which keeps the state machine and knows when to send again. What smoltcp does wrong is
//! mended at the segments that go in and out ([`fixups`], [`challenge`]).

pub mod challenge;
pub mod connection;
mod connections;
pub mod engine;
pub mod fast_path;
pub mod fixups;
mod resize;
mod segment;
pub mod settings;
mod timers;
mod wire;

pub use connections::Connections;
#[cfg(test)]
pub use timers::ACK_DELAY;
