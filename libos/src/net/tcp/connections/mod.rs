//! All connections and listeners, and which of them want to be looked at and when.
//!
//! Each thing that befalls them has a file: segments that arrive (`ingress`), turns to send (`egress`), SYNs on their
//! way to `accept` (`listeners`), and the bounds of their number and their buffers (`room`).
//!
//! A connection is *queued* when it may have something to send or to tell, and *armed* when time alone may give it
//! something. Those that wait for a neighbour's address are apart, and are looked at when one was resolved. Nothing
//! walks over all connections, except when this machine's own addresses have changed.

mod egress;
mod fast;
mod ingress;
mod line;
mod listeners;
mod room;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;

use self::line::Line;
use self::listeners::Listener;
use self::room::Room;
use super::connection::{Cause, Connection, LEAST_BUFFER, Owner};
use super::resize::Nursery;
use super::timers::Timers;
use crate::io::Signal;
use crate::net::error::Error;
use crate::net::frame::Tuple;
use crate::net::ports::Ports;
use crate::net::slab::{Id, Slab};

/// Connections in TIME-WAIT. The oldest go first: what they guard against is rare, their buffers are not small.
const MAX_TIME_WAIT: usize = 32;

/// All connections and listeners.
pub struct Connections<S: Signal> {
    pub connections: Slab<Box<Connection<S>>>,
    by_tuple: BTreeMap<Tuple, Id>,
    pub listeners: Slab<Listener<S>>,
    listener_ports: Ports,
    queue: Line,
    timers: Timers,
    time_wait: VecDeque<Id>,
    /// Connections that could not send because a neighbour's address is unknown.
    unresolved: Line,
    /// How often any connection was looked at, for the tests that count.
    #[cfg(test)]
    pub touched: usize,
    /// What connections' buffers may take: what is left of memory belongs to the program.
    room: Room,
    nursery: Nursery,
}

impl<S: Signal> Connections<S> {
    /// No sockets, and room for connections whose buffers take up to `budget` bytes in all.
    pub fn new(budget: usize) -> Self {
        Self {
            connections: Slab::new(),
            by_tuple: BTreeMap::new(),
            listeners: Slab::new(),
            listener_ports: Ports::new(),
            queue: Line::new(),
            timers: Timers::new(),
            time_wait: VecDeque::new(),
            unresolved: Line::new(),
            #[cfg(test)]
            touched: 0,
            room: Room::new::<S>(budget),
            nursery: Nursery::new(),
        }
    }

    /// How many connections time alone may give something to do.
    pub fn timers(&self) -> usize {
        self.connections.iter().filter(|(_, connection)| connection.armed.is_armed()).count()
    }

    /// Bytes of all connections' buffers.
    pub fn buffered(&self) -> usize {
        self.connections.len() * 2 * LEAST_BUFFER + self.room.grown
    }

    /// SYNs that were refused: there were as many connections as there may be, or no memory for another.
    pub fn refused(&self) -> u64 {
        self.room.refused
    }

    /// Whether a connection with these two ends exists.
    pub fn is_taken(&self, tuple: &Tuple) -> bool {
        self.by_tuple.contains_key(tuple)
    }

    /// Makes room for one more connection, and for its places in the lines; `false` when memory is short.
    pub fn reserve(&mut self) -> bool {
        let count = self.connections.len() + 1;
        let mut lines = [&mut self.queue, &mut self.unresolved, &mut self.room.line].into_iter();
        self.connections.reserve() && lines.all(|line| line.reserve(count)) && self.timers.reserve(count)
    }

    /// Adds a connection, for which there is room, found from now on by the frames that name its tuple.
    pub fn insert(&mut self, connection: Connection<S>) -> Id {
        let tuple = connection.tuple;
        let id = self.connections.insert(Box::new(connection));
        self.by_tuple.insert(tuple, id);
        self.count_buffers(id);
        id
    }

    /// Asks for `id` to be looked at in the next round.
    pub fn enqueue(&mut self, id: Id) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.queued
        {
            connection.queued = true;
            self.queue.push(id, &self.connections);
        }
    }

    /// Asks for every connection to be looked at: the addresses of this machine or of its neighbours changed.
    pub fn enqueue_all(&mut self) {
        for index in 0..self.connections.places() {
            if let Some(id) = self.connections.id_at(index) {
                self.enqueue(id);
            }
        }
    }

    /// Whether any connection waits for a round.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Draws the conclusions from a change of a connection's state.
    fn state_changed(&mut self, id: Id, cause: Cause) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (before, state) = (connection.seen, connection.engine.state());
        if connection.read_shutdown {
            // Nobody will read it, but the peer must not stand before a closed window.
            let mut lost = false;
            while let Some(socket) = connection.engine.socket_mut()
                && matches!(socket.recv(|bytes| (bytes.len(), bytes.len())), Ok(1..))
            {
                lost = true;
            }
            // A peer that goes on writing to who has closed must learn that (RFC 1122, section 4.2.2.13), once all that
            // was written before the close has arrived there.
            if lost && state == State::FinWait2 && matches!(connection.owner, Owner::Nobody { .. }) {
                return connection.engine.abort();
            }
        }
        if before == state {
            return;
        }
        connection.seen = state;
        let opened = !connection.is_opening() && matches!(before, State::SynSent | State::SynReceived);
        if let Owner::Listener(listener) = connection.owner
            && opened
            && let Some(entry) = self.listeners.get_mut(listener)
        {
            entry.handshakes -= 1;
            if entry.handshakes == 0 {
                entry.begun.clear();
            }
            if state != State::Closed {
                entry.queue.push_back(id);
                entry.publish();
            }
        }
        if opened && state != State::Closed {
            connection.established();
        }
        match (state, connection.owner) {
            // A reset during the handshake puts smoltcp's socket back to listening; this listener makes another.
            (State::Listen, _) => self.discard(id),
            (State::Closed, Owner::Program) => {
                if connection.error.is_none() {
                    connection.error = match (before, cause) {
                        (State::LastAck | State::TimeWait | State::Closing, _) => None,
                        (State::SynSent, Cause::Segment) => Some(Error::Refused),
                        (_, Cause::Segment) => Some(Error::Reset),
                        (_, Cause::Timer) => Some(Error::TimedOut),
                    };
                }
                self.forget_tuple(id);
            }
            // Accepted later, it reports what happened; a failed handshake is nobody's.
            (State::Closed, Owner::Listener(_)) if !opened => {
                connection.error = Some(Error::Reset);
                self.forget_tuple(id);
            }
            (State::Closed, _) => self.discard(id),
            (State::TimeWait, _) => {
                self.time_wait.push_back(id);
                while self.time_wait.len() > MAX_TIME_WAIT {
                    let Some(oldest) = self.time_wait.pop_front() else { break };
                    let leaves = self.connections.get(oldest).is_some_and(|connection| {
                        connection.seen == State::TimeWait && matches!(connection.owner, Owner::Nobody { .. })
                    });
                    if leaves {
                        self.discard(oldest);
                    }
                }
            }
            _ => {}
        }
    }

    /// Frames with this connection's tuple are no longer its.
    fn forget_tuple(&mut self, id: Id) {
        if let Some(connection) = self.connections.get(id)
            && self.by_tuple.get(&connection.tuple) == Some(&id)
        {
            self.by_tuple.remove(&connection.tuple);
        }
    }

    /// Removes a connection without a word to its peer.
    pub fn discard(&mut self, id: Id) {
        self.forget_tuple(id);
        self.uncount_buffers(id);
        let Some(connection) = self.connections.remove(id) else { return };
        self.timers.forget(id, connection.armed);
        if let Owner::Listener(listener) = connection.owner
            && let Some(entry) = self.listeners.get_mut(listener)
        {
            if matches!(connection.seen, State::SynReceived | State::Listen) {
                entry.handshakes -= 1;
            } else {
                entry.queue.retain(|&waiting| waiting != id);
                entry.publish();
            }
        }
    }
}
