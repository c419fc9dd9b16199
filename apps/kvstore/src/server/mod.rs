//! The server: one thread, one loop.
//!
//! Owns the sockets and the order of events. Each round reads what has arrived on every ready connection, executes the
//! complete requests of all of them in one turn of the pool, and sends the replies when the turn has returned its
//! receipt. Never looks into a request or a reply. No step waits for a client: one that does not read is not read from.

pub mod client;
mod connection;
mod connections;
mod event_loop;
mod eviction;
#[cfg(test)]
mod fairness;
mod idle;
mod outbox;
mod protected_mode;
mod readiness;
#[cfg(test)]
mod shortage;
mod slab;
#[cfg(test)]
mod tests;

pub use event_loop::Server;
