//! What the server remembers of one client.

use std::net::SocketAddr;

use crate::clock::Nanos;
use crate::resp::Protocol;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// After the replies that are due.
    AfterReplies,
    /// At once.
    Now,
}

/// Where a client stands between `MULTI` and `EXEC`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Multi {
    /// In no transaction.
    #[default]
    None,
    /// In one in which nothing has been asked for.
    Begun,
    /// In one in which something was refused.
    Refused,
}

/// What a client wants to hear (`CLIENT REPLY`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hearing {
    /// Every reply.
    #[default]
    All,
    /// Not the reply to the next request.
    NotTheNext,
    /// Not the reply to the request that is being executed.
    NotThis,
    /// None.
    Nothing,
}

impl Hearing {
    /// A request is about to be executed.
    pub fn begin(&mut self) {
        if *self == Self::NotTheNext {
            *self = Self::NotThis;
        }
    }

    /// It has been executed: returns whether its reply is to be heard.
    pub fn end(&mut self) -> bool {
        match *self {
            Self::All | Self::NotTheNext => true,
            Self::NotThis => {
                *self = Self::All;
                false
            }
            Self::Nothing => false,
        }
    }
}

/// Where a connection goes from and to.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our own.
    pub local: SocketAddr,
    /// The socket's descriptor.
    pub descriptor: i32,
}

/// What a client's buffers hold, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct Buffers {
    /// Requests that have arrived and have not been executed.
    pub requests: usize,
    /// Room for more of them.
    pub requests_free: usize,
    /// What is known of the request that is arriving: where its arguments are.
    pub arguments: usize,
    /// Memory for replies.
    pub replies: usize,
    /// The most that this has been.
    pub replies_peak: usize,
    /// Replies that have not been sent.
    pub replies_waiting: usize,
    /// The socket takes no more of them at the moment.
    pub blocked: bool,
}

impl Buffers {
    /// All memory of them.
    pub fn memory(&self) -> usize {
        self.requests + self.requests_free + self.arguments + self.replies
    }
}

/// One client's state, apart from its bytes.
pub struct Session {
    /// Its number, never used again.
    pub id: u64,
    /// Where it is.
    pub ends: Ends,
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
    /// How long the command that is under way has taken so far, in all turns.
    pub spent: Nanos,
    /// Where it stands in a transaction.
    pub multi: Multi,
    /// What it wants to hear.
    pub hearing: Hearing,
    /// Whether it is spared when clients hold too much memory (`CLIENT NO-EVICT`).
    pub no_evict: bool,
    /// What its buffers held when they were last counted.
    pub buffers: Buffers,
    /// Set when the connection is to end.
    pub closing: Option<Closing>,
}

impl Session {
    /// A client that has just come.
    pub fn new(id: u64, ends: Ends, now_ms: u64) -> Self {
        Self {
            id,
            ends,
            since_ms: now_ms,
            active_ms: now_ms,
            protocol: Protocol::default(),
            name: Vec::new(),
            library: Vec::new(),
            library_version: Vec::new(),
            command: "",
            spent: 0,
            multi: Multi::None,
            hearing: Hearing::All,
            no_evict: false,
            buffers: Buffers::default(),
            closing: None,
        }
    }

    /// What it costs, in bytes.
    pub fn memory(&self) -> usize {
        let names = self.name.capacity() + self.library.capacity() + self.library_version.capacity();
        self.buffers.memory() + names + size_of::<Self>()
    }
}

/// All clients but one.
pub trait Others {
    /// Calls `act` with each of them.
    fn each(&mut self, act: &mut dyn FnMut(&mut Session));
}
