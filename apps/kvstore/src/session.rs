//! What the server remembers of one client.

use std::net::SocketAddr;

use crate::resp::Protocol;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// After the replies that are due.
    AfterReplies,
    /// At once.
    Now,
}

/// One client's state, apart from its bytes.
pub struct Session {
    /// Its number, never used again.
    pub id: u64,
    /// Where it is.
    pub address: SocketAddr,
    /// When it came, in Unix milliseconds.
    pub since_ms: u64,
    /// When it last asked for something, in Unix milliseconds.
    pub active_ms: u64,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// What it calls itself (`CLIENT SETNAME`), empty if nothing.
    pub name: Vec<u8>,
    /// The library that it uses (`CLIENT SETINFO`), empty if unknown.
    pub library: Vec<u8>,
    /// That library's version, empty if unknown.
    pub library_version: Vec<u8>,
    /// The last command's name, empty before the first.
    pub command: &'static str,
    /// Set from a refused `MULTI` to the end of its transaction: nothing is executed.
    pub multi_refused: bool,
    /// Set when the connection is to end.
    pub closing: Option<Closing>,
}

impl Session {
    /// A client that has just come.
    pub fn new(id: u64, address: SocketAddr, now_ms: u64) -> Self {
        Self {
            id,
            address,
            since_ms: now_ms,
            active_ms: now_ms,
            protocol: Protocol::default(),
            name: Vec::new(),
            library: Vec::new(),
            library_version: Vec::new(),
            command: "",
            multi_refused: false,
            closing: None,
        }
    }
}
