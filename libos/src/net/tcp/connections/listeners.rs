//! Listeners: from a SYN to a connection that a program accepts.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use super::Connections;
use crate::io::{Ready, Signal};
use crate::net::address::Local;
use crate::net::error::Error;
use crate::net::frame::Tuple;
use crate::net::link::Via;
use crate::net::slab::Id;
use crate::net::tcp::connection::{Connection, LEAST_BUFFER, Owner};
use crate::net::tcp::settings::BufferSizes;

/// Handshakes under way per listener. Beyond it the oldest gives way if it has had [`FAIR_TIME`]; else the new SYN is
/// ignored, and its sender tries again. So a flood of SYNs that nobody follows up does not shut others out.
const MAX_HANDSHAKES: usize = 512;
/// An honest peer far away finishes a handshake within this time.
const FAIR_TIME: Duration = Duration::from_millis(500);

/// Beyond this many handshakes under way, the buffers of another connection are the least: most of them are a flood's.
const MANY_HANDSHAKES: usize = 64;

/// Why a SYN leads to no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// Too many come at once: a later one of this peer's may be taken.
    Busy,
    /// There are as many connections as there may be, or no memory for another.
    NoRoom,
}

/// A port on which connections are accepted.
pub struct Listener<S: Signal> {
    pub local: Local,
    /// Bytes of buffer for receiving and for sending that the program wants its connections to have.
    sizes: BufferSizes,
    /// Connections that may wait to be accepted.
    backlog: usize,
    pub(super) handshakes: usize,
    /// The connections whose handshake began, oldest first; some have finished it or are gone.
    pub(super) begun: VecDeque<Id>,
    pub(super) queue: VecDeque<Id>,
    signal: Arc<S>,
}

impl<S: Signal> Listener<S> {
    pub(super) fn publish(&self) {
        self.signal.publish(if self.queue.is_empty() { Ready::empty() } else { Ready::IN });
    }
}

impl<S: Signal> Connections<S> {
    /// The listeners at a port.
    pub fn listeners_at(&self, port: u16) -> impl Iterator<Item = &Listener<S>> {
        self.listener_ports.at(port).iter().filter_map(|&id| self.listeners.get(id))
    }

    /// Who accepts a connection to `tuple`: an exact address goes before any address.
    pub(super) fn listener_for(&self, tuple: &Tuple) -> Option<Id> {
        let ids = self.listener_ports.at(tuple.local.port).iter().copied();
        let fitting = ids.filter(|&id| {
            self.listeners.get(id).is_some_and(|listener: &Listener<S>| listener.local.takes(tuple.local.addr))
        });
        fitting.min_by_key(|&id| self.listeners.get(id).is_some_and(|listener| listener.local.address.is_none()))
    }

    /// Makes the socket that will answer a SYN.
    pub(super) fn open_passively(
        &mut self,
        listener: Id,
        tuple: Tuple,
        via: Via,
        now: Instant,
    ) -> Result<Id, Declined> {
        let full = self.is_full();
        let declined = if full { Declined::NoRoom } else { Declined::Busy };
        let entry = self.listeners.get(listener).ok_or(declined)?;
        if entry.queue.len() >= entry.backlog
            || (entry.handshakes >= MAX_HANDSHAKES || full) && !self.evict_handshake(listener, now)
        {
            return Err(declined);
        }
        let entry = self.listeners.get(listener).ok_or(declined)?;
        let mut capacity = self.capacity(via);
        if entry.handshakes >= MANY_HANDSHAKES && via == Via::Nic {
            capacity = LEAST_BUFFER;
        }
        let sizes = entry.sizes;
        if !self.reserve() {
            return Err(Declined::NoRoom);
        }
        let capacities = sizes.capacities(capacity);
        let owner = Owner::Listener(listener);
        let connection = Connection::new(tuple, via, owner, Arc::new(S::default()), capacities, now);
        let mut connection = connection.ok_or(Declined::NoRoom)?;
        let socket = connection.engine.socket_mut().ok_or(declined)?;
        socket.listen(tuple.local).map_err(|_| declined)?;
        connection.seen = State::SynReceived;
        connection.sizes = sizes;
        let id = self.insert(connection);
        let entry = self.listeners.get_mut(listener).ok_or(declined)?;
        entry.handshakes += 1;
        if entry.begun.len() >= 2 * MAX_HANDSHAKES {
            let connections = &self.connections;
            entry.begun.retain(|&id| connections.get(id).is_some_and(|begun| begun.seen == State::SynReceived));
        }
        entry.begun.push_back(id);
        Ok(id)
    }

    /// Gives up the oldest unfinished handshake, unless it is too young for that.
    fn evict_handshake(&mut self, listener: Id, now: Instant) -> bool {
        let Some(entry) = self.listeners.get_mut(listener) else { return false };
        while let Some(&oldest) = entry.begun.front() {
            match self.connections.get(oldest).filter(|connection| connection.seen == State::SynReceived) {
                None => _ = entry.begun.pop_front(),
                Some(connection) if now < connection.born + FAIR_TIME => return false,
                Some(_) => {
                    self.discard(oldest);
                    return true;
                }
            }
        }
        false
    }

    /// Accepts connections at `local`, at most `backlog` of them waiting.
    pub fn listen(&mut self, local: Local, backlog: usize, sizes: BufferSizes, signal: Arc<S>) -> Id {
        let (begun, queue) = (VecDeque::new(), VecDeque::new());
        let id = self.listeners.insert(Listener { local, sizes, backlog, handshakes: 0, begun, queue, signal });
        self.listener_ports.insert(local.port, id);
        id
    }

    /// The oldest connection that waits to be accepted. It belongs to the caller from now on.
    pub fn accept(&mut self, listener: Id) -> Result<Id, Error> {
        let entry = self.listeners.get_mut(listener).ok_or(Error::Invalid)?;
        let id = entry.queue.pop_front().ok_or(Error::WouldBlock)?;
        entry.publish();
        let connection = self.connections.get_mut(id).ok_or(Error::Aborted)?;
        connection.owner = Owner::Program;
        connection.publish();
        Ok(id)
    }

    /// Ends a listener. Returns the connections that nobody will accept, for the caller to abort.
    pub fn unlisten(&mut self, listener: Id) -> Vec<Id> {
        let Some(entry) = self.listeners.remove(listener) else { return Vec::new() };
        self.listener_ports.remove(entry.local.port, listener);
        let orphaned =
            |id: &Id| self.connections.get(*id).is_some_and(|found| found.owner == Owner::Listener(listener));
        entry.begun.into_iter().chain(entry.queue).filter(orphaned).collect()
    }
}
