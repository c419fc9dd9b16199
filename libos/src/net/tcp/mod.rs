//! TCP: the connections and listeners of both links, and what smoltcp's TCP needs around it.
//!
//! [`Connections`] has them all. One of them is [`connection`]; its buffers change with its use (`resize`), and time
//! alone may give it something to do (`timers`). smoltcp keeps the state machine and knows when to send again; what it
//! does wrong is mended at the segments that go in and out ([`fixups`], [`challenge`]).

pub mod challenge;
pub mod connection;
mod connections;
pub mod fixups;
mod resize;
mod segment;
mod timers;
mod wire;

pub use connections::Connections;
#[cfg(test)]
pub use timers::ACK_DELAY;
