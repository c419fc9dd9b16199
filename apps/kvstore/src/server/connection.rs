//! One client's socket.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::client::Client;
use super::eviction::Holding;
use super::readiness::{Poller, Ready};
use super::slab::Rest;
use crate::memory::NoMemory;
use crate::resp::KEEP;
use crate::session::{Closing, Others, Session};
use crate::shared::ClientLimits;
use crate::statistics::Counters;

/// Most bytes read from one connection in one round.
const READ: usize = 256 * 1024;

/// Why nothing can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The connection has ended without order.
    Broken,
    /// There is no memory for what would arrive.
    NoMemory,
}

impl From<NoMemory> for Trouble {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// A connection. Readiness is remembered here, because a change of it is reported once.
pub struct Connection {
    /// The client behind it.
    pub client: Client,
    /// Whether it is in the queue of connections with something to do.
    pub queued: bool,
    stream: TcpStream,
    index: usize,
    /// There may be something to read.
    readable: bool,
    /// The client sends no more, or the connection has failed: the read behind all that has arrived tells which.
    hung_up: bool,
    /// The client has shut its sending side down: what it asked for before is still answered.
    ended: bool,
    /// The last write did not take everything.
    blocked: bool,
    /// Whether readiness to write is being waited for.
    watching_writes: bool,
    /// Since when the socket has taken nothing of what waits for it, in milliseconds of the server's clock.
    unread_since: Option<u64>,
    /// When something last arrived, by the same clock.
    heard: u64,
    /// When something last arrived or was taken, by the same clock.
    active: u64,
    /// It asks for memory that its own replies hold: it has nothing to do until its socket takes more of them.
    stalled: bool,
    /// When it is looked at whether it is idle, if it is.
    pub look: Option<u64>,
}

impl Connection {
    /// Takes over an accepted stream, which is now being waited for.
    pub fn new(mut stream: TcpStream, index: usize, poller: &Poller, client: Client, now: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        poller.add(&mut stream, index)?;
        Ok(Self {
            client,
            queued: false,
            stream,
            index,
            readable: false,
            hung_up: false,
            ended: false,
            blocked: false,
            watching_writes: false,
            unread_since: None,
            heard: now,
            active: now,
            stalled: false,
            look: None,
        })
    }

    /// Remembers what the socket has become ready for.
    pub fn becomes(&mut self, ready: Ready) {
        self.hung_up |= ready.hung_up;
        self.readable |= ready.readable || ready.hung_up;
        self.blocked &= !ready.writable;
    }

    /// Reads what has arrived, within bounds, if the client is to be heard now.
    pub fn receive(&mut self, limits: &ClientLimits, counters: &mut Counters, now: u64) -> Result<(), Trouble> {
        if !self.can_receive(limits) {
            return Ok(());
        }
        let mut left = READ;
        while left > 0 && self.readable {
            // The parser looks at a long request before more of it is read: it knows how much is lacking.
            if self.client.input.memory() >= KEEP && !self.client.wants_input(limits) {
                break;
            }
            let Some(room) = self.client.room(limits)? else { break };
            let most = room.len().min(left);
            match self.stream.read(&mut room[..most]) {
                Ok(0) => {
                    self.ended = true;
                    self.readable = false;
                }
                Ok(count) => {
                    self.client.input.filled(count);
                    self.heard = now;
                    self.active = now;
                    counters.input_bytes += count as u64;
                    left -= count;
                    // Less than there is room for is all. Of an end we are told once, maybe with what arrived before
                    // it.
                    self.readable = self.hung_up || count == most;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Trouble::Broken),
            }
        }
        Ok(())
    }

    /// Sends what a receipt has released, as far as the socket takes it.
    pub fn send(&mut self, poller: &Poller, counters: &mut Counters, now: u64) -> io::Result<()> {
        while !self.blocked && !self.client.outbox.sendable().is_empty() {
            match self.stream.write(self.client.outbox.sendable()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.client.outbox.sent(count);
                    self.unread_since = None;
                    self.active = now;
                    counters.output_bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unread_since = self.blocked.then(|| self.unread_since.unwrap_or(now));
        if self.blocked != self.watching_writes {
            self.watching_writes = self.blocked;
            poller.watch_writes(&mut self.stream, self.index, self.blocked)?;
        }
        Ok(())
    }

    /// Notes in the client's session what its buffers hold.
    pub fn count_buffers(&mut self) {
        self.client.count_buffers(self.watching_writes);
    }

    /// When something last arrived or was taken, in milliseconds of the server's clock.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// Whether it waits for the server, and so cannot be idle. Who does not read does not.
    pub fn waits(&self) -> bool {
        self.unread_since.is_none() && self.client.waits()
    }

    /// It cannot go on before its socket takes more of its replies.
    pub fn wait_for_reader(&mut self) {
        self.stalled = true;
    }

    /// How it uses the memory that it holds.
    pub fn holding(&self) -> Holding {
        let session = &self.client.session;
        Holding {
            bytes: if session.closing == Some(Closing::Now) { 0 } else { self.client.memory() },
            replies: self.client.whole_replies(),
            unread_since: self.unread_since,
            heard: self.heard,
            waits: self.client.waits(),
            spared: session.no_evict,
        }
    }

    /// Whether the next round has something to do here without waiting for an event.
    pub fn has_work(&mut self, limits: &ClientLimits) -> bool {
        let stalled = std::mem::take(&mut self.stalled) && self.blocked;
        !stalled && (self.can_receive(limits) || self.client.has_request(limits))
    }

    /// Whether everything is said.
    pub fn is_over(&mut self, limits: &ClientLimits) -> bool {
        match self.client.session.closing {
            Some(Closing::Now) => true,
            Some(Closing::AfterReplies) => self.client.outbox.waiting() == 0,
            None => self.ended && self.client.outbox.waiting() == 0 && !self.client.has_request(limits),
        }
    }

    /// Whether there are replies that can still be sent.
    pub fn owes(&self) -> bool {
        self.client.session.closing != Some(Closing::Now) && !self.client.outbox.sendable().is_empty()
    }

    fn can_receive(&mut self, limits: &ClientLimits) -> bool {
        self.readable && !self.ended && self.client.wants_input(limits)
    }
}

impl Others for Rest<'_, Connection> {
    fn each(&mut self, act: &mut dyn FnMut(&mut Session)) {
        self.iter_mut().for_each(|connection| act(&mut connection.client.session));
    }
}
