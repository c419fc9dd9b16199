//! One TCP connection: smoltcp's socket in a set of its own, and what the socket layer knows beside it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};

use super::error::Error;
use super::frame::Tuple;
use super::link::Via;
use super::slab::Id;
use crate::io::{Ready, Signal};

/// A peer that is silent for this long, though asked, is gone. It is asked every [`KEEP_ALIVE`].
const PEER_TIMEOUT: Duration = Duration::from_secs(300);
/// The silence after which an idle peer is asked whether it is still there. On from the start: `std` has no way to turn it
/// on, and a server must not keep a connection for ever whose peer lost its power.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a connect waits for an answer to its SYN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take to finish the handshake that it began.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection that its program has closed may be without progress.
pub const ORPHAN_TIMEOUT: Duration = Duration::from_secs(20);
/// A delayed acknowledgement waits this long for an answer to ride on.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// Why a socket can have changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A segment from the peer.
    Segment,
    /// A timer, or the loss of the local address.
    Timer,
}

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A listener: the handshake is under way, or it is done and nobody has accepted it yet.
    Listener(Id),
    /// A program's socket.
    Program,
    /// Nobody: it was closed and is winding up.
    Nobody {
        /// When it is cut off, unless it made progress since it was last looked at.
        deadline: Instant,
        /// The bytes that were waiting to be sent when it was last looked at.
        unsent: usize,
    },
}

/// A connection.
pub struct Connection<S: Signal> {
    pub set: SocketSet<'static>,
    handle: SocketHandle,
    pub tuple: Tuple,
    pub via: Via,
    pub owner: Owner,
    pub born: Instant,
    /// The state when it was last looked at.
    pub seen: State,
    /// For `SO_ERROR`, or for the next call.
    pub error: Option<Error>,
    pub read_shutdown: bool,
    pub write_shutdown: bool,
    /// Whether it waits in the queue of connections to be served.
    pub queued: bool,
    /// When the timer queue looks at it again.
    pub armed: Option<Instant>,
    pub signal: Arc<S>,
    published: Option<Ready>,
}

/// `len` zero bytes, or `None` when memory is short.
fn buffer(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

impl<S: Signal> Connection<S> {
    /// A closed connection with buffers of `capacity` bytes each way; `None` when memory is short.
    pub fn new(tuple: Tuple, via: Via, owner: Owner, signal: Arc<S>, capacity: usize, now: Instant) -> Option<Self> {
        let mut socket = Socket::new(SocketBuffer::new(buffer(capacity)?), SocketBuffer::new(buffer(capacity)?));
        socket.set_ack_delay(Some(ACK_DELAY));
        // Before the handshake: set on a connection that is up, smoltcp would ask at once.
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_congestion_control(match via {
            Via::Nic => CongestionControl::Reno,
            Via::Loopback => CongestionControl::None,
        });
        let mut storage: Vec<SocketStorage<'static>> = Vec::new();
        storage.try_reserve_exact(1).ok()?;
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Some(Self {
            set,
            handle,
            tuple,
            via,
            owner,
            born: now,
            seen: State::Closed,
            error: None,
            read_shutdown: false,
            write_shutdown: false,
            queued: false,
            armed: None,
            signal,
            published: None,
        })
    }

    pub fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// The bytes of its buffers.
    pub fn buffered(&self) -> usize {
        self.socket().recv_capacity() + self.socket().send_capacity()
    }

    /// Bounds the wait for the handshake of a connect.
    pub fn expect_answer(&mut self) {
        self.socket_mut().set_timeout(Some(CONNECT_TIMEOUT));
    }

    /// From now on the connection is up: a peer that does not answer when it is asked is dropped.
    pub fn established(&mut self) {
        let timeout = self.keep_alive().then_some(PEER_TIMEOUT);
        self.socket_mut().set_timeout(timeout);
    }

    /// Whether an idle peer is asked for a sign of life.
    pub fn keep_alive(&self) -> bool {
        self.socket().keep_alive().is_some()
    }

    pub fn set_keep_alive(&mut self, on: bool) {
        if on == self.keep_alive() {
            return;
        }
        // smoltcp's timeout counts any silence, so it makes sense only while the peer is asked for signs of life.
        self.socket_mut().set_keep_alive(on.then_some(KEEP_ALIVE));
        if !self.is_opening() {
            self.established();
        }
    }

    /// The peer has sent all that it will send.
    pub fn peer_finished(&self) -> bool {
        matches!(self.socket().state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
    }

    /// No segment will be sent or received any more.
    pub fn is_over(&self) -> bool {
        matches!(self.socket().state(), State::Closed | State::TimeWait)
    }

    /// The handshake is not done yet.
    pub fn is_opening(&self) -> bool {
        matches!(self.socket().state(), State::SynSent | State::SynReceived | State::Listen)
    }

    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        self.socket().can_recv() || self.read_shutdown || self.peer_finished() || self.socket().state() == State::Closed
    }

    /// Whether the program's data has all reached the peer.
    pub fn is_drained(&self) -> bool {
        match self.socket().state() {
            State::Closed | State::TimeWait | State::FinWait2 => true,
            State::FinWait1 | State::Closing | State::LastAck => false,
            _ => self.socket().send_queue() == 0,
        }
    }

    /// What the connection's owner can do with it.
    pub fn readiness(&self) -> Ready {
        let mut ready = Ready::empty();
        if self.is_opening() {
            return ready;
        }
        let socket = self.socket();
        let closed = socket.state() == State::Closed;
        let (finished, sends) = (self.peer_finished() || closed, socket.may_send() && !self.write_shutdown);
        ready.set(Ready::IN, self.readable() || self.error.is_some());
        ready.set(Ready::RDHUP, finished || self.read_shutdown);
        // A third of the buffer, as elsewhere: waking a writer for a few bytes costs more than it brings.
        let room = 3 * (socket.send_capacity() - socket.send_queue()) >= socket.send_capacity();
        ready.set(Ready::OUT, !sends || room);
        ready.set(Ready::HUP, closed || (finished && !sends));
        ready.set(Ready::ERR, self.error.is_some());
        ready
    }

    /// Tells the owner, if what it can do has changed.
    pub fn publish(&mut self) {
        let ready = self.readiness();
        if self.published != Some(ready) {
            self.published = Some(ready);
            self.signal.publish(ready);
        }
    }
}
