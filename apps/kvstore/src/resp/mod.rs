//! The Redis serialisation protocol: bytes from a client become requests, and replies become bytes.
//!
//! Owns the input buffer, the incremental request parser (RESP arrays and inline commands) with its limits, and the
//! reply writer for RESP2 and RESP3. Never touches a socket, a clock or the pool, and never panics on what arrives.

mod inline;
mod input;
mod parser;
mod reply;

pub use input::Input;
pub use parser::{Limits, Parser, Request, Step};
pub use reply::{Protocol, Reply};
