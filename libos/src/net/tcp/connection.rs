//! One TCP connection: what runs its protocol, and what the socket layer knows beside it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};

use super::challenge::{self, Verdict};
use super::engine::Engine;
use super::fast_path::{self, FastPath};
use super::fixups::{Received, Sent};
use super::resize::{MOST_UNREAD, Nursery, Standing};
use super::settings::{BufferSizes, KeepAlive};
use super::timers::{ACK_DELAY, Armed};
use crate::io::{Ready, Signal};
use crate::mm::{CALL_ROOM, has_room};
use crate::net::error::Error;
use crate::net::frame::Tuple;
use crate::net::link::Via;
use crate::net::slab::Id;

/// The least bytes of buffer each way: what a connection has that rests while others need memory.
pub const LEAST_BUFFER: usize = 1024;
/// How long a connect waits for an answer to its SYN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take to finish the handshake that it began: the answer to its SYN goes out six times, as Linux's
/// does (`tcp_synack_retries`), since a peer that has got one takes the connection for made, and may wait for ever.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(63);
/// How long a connection that its program has closed may be without progress.
pub const ORPHAN_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// What runs its protocol.
    pub engine: Engine,
    /// What it has sent, where segments can be lost.
    pub sent: Sent,
    /// What it has received, where strangers can send.
    pub(super) received: Received,
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
    /// Whether it waits for a neighbour's address.
    pub unresolved: bool,
    pub(super) keep_alive: KeepAlive,
    /// Segments that have to come, none of them odd, before it has the fast path.
    pub(super) calm_in: u32,
    /// What the program wants of its buffers.
    pub sizes: BufferSizes,
    /// Something came or went since it was last looked at for buffers to take back.
    pub used: bool,
    /// It is in the line of those that have large ones.
    pub in_line: bool,
    /// The program had more to send than there was room for, and waits for larger buffers.
    wants_more: bool,
    /// When it is looked at again.
    pub armed: Armed,
    pub signal: Arc<S>,
    published: Option<Ready>,
}

/// Buffers of so many bytes for receiving and for sending, or `None` when memory is short.
pub(super) fn pair((receive, send): (usize, usize)) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((buffer(receive)?, buffer(send)?))
}

/// `len` zero bytes, or `None` when memory is short.
pub(super) fn buffer(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

/// Sets what is the same for all of smoltcp's sockets of a link; before the handshake, since on a connection that is up
/// smoltcp would ask for a sign of life at once.
pub(super) fn configure(socket: &mut Socket<'static>, via: Via, keep_alive: KeepAlive) {
    socket.set_ack_delay(Some(ACK_DELAY));
    socket.set_keep_alive(keep_alive.period());
    socket.set_congestion_control(match via {
        Via::Nic => CongestionControl::Reno,
        Via::Loopback => CongestionControl::None,
    });
}

/// Gives a connection on the fast path other buffers, if there is memory and they hold what is queued.
fn resize_fast(fast: &mut FastPath, capacities: (usize, usize)) -> Option<()> {
    if !fast.fits(capacities) {
        return None;
    }
    let (receive, send) = pair(capacities)?;
    fast.resize(SocketBuffer::new(receive), SocketBuffer::new(send));
    Some(())
}

impl<S: Signal> Connection<S> {
    /// A closed connection with buffers of so many bytes for receiving and for sending, or with the least where memory
    /// is short; `None` if there is none for them either.
    pub fn new(
        tuple: Tuple,
        via: Via,
        owner: Owner,
        signal: Arc<S>,
        capacities: (usize, usize),
        now: Instant,
    ) -> Option<Self> {
        let (receive, send) = pair(capacities).or_else(|| pair((LEAST_BUFFER, LEAST_BUFFER)))?;
        // And for the connection itself, and its places in the tables.
        if !has_room(CALL_ROOM) {
            return None;
        }
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        let keep_alive = KeepAlive::default();
        configure(&mut socket, via, keep_alive);
        Some(Self {
            engine: Engine::of(socket)?,
            sent: Sent::default(),
            received: Received::default(),
            tuple,
            via,
            owner,
            born: now,
            seen: State::Closed,
            error: None,
            read_shutdown: false,
            write_shutdown: false,
            queued: false,
            unresolved: false,
            keep_alive,
            calm_in: fast_path::CALM,
            sizes: BufferSizes::default(),
            used: true,
            in_line: false,
            wants_more: false,
            armed: Armed::default(),
            signal,
            published: None,
        })
    }

    /// Whether what arrives from now on may be acknowledged later. Of two segments, one at least is acknowledged at
    /// once (RFC 9293, section 3.8.6.3); smoltcp counts frames, of which one may be many segments.
    pub fn delay_acknowledgements(&mut self, may_wait: bool) {
        if let Some(socket) = self.engine.socket_mut() {
            socket.set_ack_delay(Some(if may_wait { ACK_DELAY } else { Duration::ZERO }));
        }
    }

    /// What becomes of an Ethernet frame for this connection.
    pub fn judge(&self, frame: &[u8]) -> Verdict {
        let socket = &self.engine;
        let is_up = !matches!(socket.state(), State::Closed | State::Listen | State::SynSent);
        match (self.received.next(), self.sent.next()) {
            (Some(expected), Some(sent)) if is_up => {
                let window = socket.recv_capacity() - socket.recv_queue();
                challenge::judge(frame, expected, window, sent)
            }
            _ => Verdict::Take,
        }
    }

    /// Lets `take` give this Ethernet frame to smoltcp, and notes what of it has come in.
    pub fn receiving(&mut self, frame: &[u8], take: impl FnOnce(&mut Self)) {
        let begins = matches!(self.engine.state(), State::Listen | State::SynSent);
        let (queued, finished) = (self.engine.recv_queue(), self.peer_finished());
        self.received.see(frame, self.engine.recv_capacity() - queued);
        take(self);
        if begins {
            self.received.begin(frame);
        }
        let bytes = self.engine.recv_queue().saturating_sub(queued);
        self.received.advance(bytes + usize::from(!finished && self.peer_finished()));
        self.calm_in = self.calm_in.saturating_sub(1);
    }

    /// Whether its buffers are too small for what comes or goes.
    pub fn needs_more(&self, coming: usize, going: usize) -> bool {
        let socket = &self.engine;
        let more_comes = coming > 0 && 2 * (socket.recv_queue() + coming) > socket.recv_capacity();
        more_comes || socket.send_queue() + going > socket.send_capacity()
    }

    /// Whether its buffers are the least.
    pub fn is_least(&self) -> bool {
        self.engine.recv_capacity().min(self.engine.send_capacity()) <= LEAST_BUFFER
    }

    /// Whether it would gain by buffers of these sizes for receiving and for sending.
    pub fn gains_by(&self, (receive, send): (usize, usize)) -> bool {
        receive >= 2 * self.engine.recv_capacity() || send >= 2 * self.engine.send_capacity()
    }

    /// Notes whether the program has more to send than there was room for, in the least buffers.
    pub fn leaves_over(&mut self, more: bool) {
        self.wants_more = more && self.via == Via::Nic && self.engine.send_capacity() <= LEAST_BUFFER;
    }

    /// Whether it takes no more to send before it has got larger buffers, for which all has to be acknowledged.
    pub fn holds_back(&self) -> bool {
        self.wants_more && self.engine.send_queue() > 0
    }

    /// Whether it has got rid of what kept it from larger buffers that it wants.
    pub fn can_grow_now(&self) -> bool {
        self.wants_more && self.engine.send_queue() == 0
    }

    /// Where it stands, if it can have other buffers now.
    pub(super) fn standing(&self) -> Option<Standing> {
        let socket = &self.engine;
        let is_up = socket.state() == State::Established && !self.read_shutdown && !self.write_shutdown;
        if !is_up || self.via != Via::Nic || socket.send_queue() > 0 || socket.recv_queue() > MOST_UNREAD {
            return None;
        }
        let (peer, expected) = self.received.in_order()?;
        Some(Standing { tuple: self.tuple, peer, expected, sent: self.sent.next()? })
    }

    /// Whether nothing is under way: neither bytes nor acknowledgements.
    pub fn rests(&self) -> bool {
        let told = |standing: Standing| self.sent.acknowledged() == Some(standing.expected);
        match &self.engine {
            Engine::Fast(fast) => fast.rests(),
            Engine::Smoltcp(..) => self.engine.recv_queue() == 0 && self.standing().is_some_and(told),
        }
    }

    /// Gives it buffers of these sizes for receiving and for sending, if it can have others now and there is memory.
    pub fn resize(&mut self, (receive, send): (usize, usize), nursery: &mut Nursery, now: Instant) -> Option<()> {
        if let Engine::Fast(fast) = &mut self.engine {
            return resize_fast(fast, (receive, send)).inspect(|()| self.wants_more = false);
        }
        let standing = self.standing()?;
        let mut unread = buffer(self.engine.recv_queue())?;
        let mut socket = Socket::new(SocketBuffer::new(buffer(receive)?), SocketBuffer::new(buffer(send)?));
        // And for what leads it through its handshake.
        if !has_room(CALL_ROOM) {
            return None;
        }
        let old = self.engine.socket_mut()?;
        socket.set_ack_delay(old.ack_delay());
        socket.set_keep_alive(old.keep_alive());
        socket.set_timeout(old.timeout());
        socket.set_hop_limit(old.hop_limit());
        socket.set_nagle_enabled(old.nagle_enabled());
        socket.set_congestion_control(old.congestion_control());
        old.peek_slice(&mut unread).ok().filter(|&len| len == unread.len()).or((unread.is_empty()).then_some(0))?;
        if unread.len() > receive {
            return None;
        }
        (self.engine, self.sent.wire) = nursery.raise(socket, self.sent.wire, &standing, &unread, now)?;
        self.wants_more = false;
        Some(())
    }

    /// The bytes of its buffers.
    pub fn buffered(&self) -> usize {
        self.engine.recv_capacity() + self.engine.send_capacity()
    }

    /// Bounds the wait for the handshake of a connect.
    pub fn expect_answer(&mut self) {
        self.set_timeout(Some(CONNECT_TIMEOUT));
    }

    /// From now on the connection is up: a peer that does not answer when it is asked is dropped.
    pub fn established(&mut self) {
        self.set_timeout(self.keep_alive.timeout());
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) {
        if let Some(socket) = self.engine.socket_mut() {
            socket.set_timeout(timeout);
        }
    }

    /// Whether and how an idle peer is asked for a sign of life.
    pub fn set_keep_alive(&mut self, keep_alive: KeepAlive) {
        if core::mem::replace(&mut self.keep_alive, keep_alive) == keep_alive {
            return;
        }
        let Some(socket) = self.engine.socket_mut() else { return };
        socket.set_keep_alive(keep_alive.period());
        if !self.is_opening() {
            self.established();
        }
    }

    /// The peer has sent all that it will send.
    pub fn peer_finished(&self) -> bool {
        matches!(self.engine.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
    }

    /// No segment will be sent or received any more.
    pub fn is_over(&self) -> bool {
        matches!(self.engine.state(), State::Closed | State::TimeWait)
    }

    /// The handshake is not done yet.
    pub fn is_opening(&self) -> bool {
        matches!(self.engine.state(), State::SynSent | State::SynReceived | State::Listen)
    }

    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        self.engine.can_recv() || self.read_shutdown || self.peer_finished() || self.engine.state() == State::Closed
    }

    /// Whether nothing is to be acknowledged any more but that this end is closed.
    pub fn awaits_only_its_end(&self) -> bool {
        let ending = matches!(self.engine.state(), State::FinWait1 | State::Closing | State::LastAck);
        ending && self.engine.send_queue() == 0
    }

    /// Whether the program's data has all reached the peer.
    pub fn is_drained(&self) -> bool {
        match self.engine.state() {
            State::Closed | State::TimeWait | State::FinWait2 => true,
            State::FinWait1 | State::Closing | State::LastAck => false,
            _ => self.engine.send_queue() == 0,
        }
    }

    /// What the connection's owner can do with it.
    pub fn readiness(&self) -> Ready {
        let mut ready = Ready::empty();
        let (send_capacity, send_queue) = (self.engine.send_capacity(), self.engine.send_queue());
        // A third of the buffer, as elsewhere: waking a writer for a few bytes costs more than it brings.
        let room = 3 * (send_capacity - send_queue) >= send_capacity && !self.holds_back();
        if let Engine::Fast(_) = &self.engine {
            // Nothing of it has ended or failed.
            ready.set(Ready::IN, self.engine.can_recv());
            ready.set(Ready::OUT, room);
            return ready;
        }
        if self.is_opening() {
            return ready;
        }
        let closed = self.engine.state() == State::Closed;
        let (finished, sends) = (self.peer_finished() || closed, self.engine.may_send() && !self.write_shutdown);
        ready.set(Ready::IN, self.readable() || self.error.is_some());
        ready.set(Ready::RDHUP, finished || self.read_shutdown);
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

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpAddress, IpEndpoint};

    use super::*;

    #[derive(Default)]
    struct Unheard;

    impl Signal for Unheard {
        fn publish(&self, _ready: Ready) {}
    }

    #[test]
    fn a_connection_without_memory_for_what_it_was_to_have_gets_the_least_buffers() {
        let end = |port| IpEndpoint::new(IpAddress::v4(10, 0, 2, 15), port);
        let tuple = Tuple { local: end(1), remote: end(2) };
        // More than an address space has.
        for capacities in [(usize::MAX, 4096), (4096, usize::MAX)] {
            let signal = Arc::new(Unheard);
            let made = Connection::new(tuple, Via::Nic, Owner::Program, signal, capacities, Instant::ZERO);
            assert_eq!(made.unwrap().buffered(), 2 * LEAST_BUFFER);
        }
    }
}
