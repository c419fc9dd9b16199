//! The Redis serialisation protocol: bytes from a client become requests, and replies become bytes.
//!
//! Owns the input buffer, the queue of replies, the incremental request parser (RESP arrays and inline commands) with
//! its limits, and the reply writer for RESP2 and RESP3. Never touches a socket, a clock or the pool, and never panics
//! on what arrives.

mod blocks;
mod inline;
mod input;
mod parser;
mod reply;

pub use blocks::Blocks;
pub use input::{Input, KEEP};
pub use parser::{Limits, Parser, Request, Step};
pub use reply::{Protocol, Reply};
