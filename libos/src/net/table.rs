//! The tables of sockets: who listens, which connections there are, and which of them want to be looked at and when.
//!
//! A connection is *queued* when it may have something to send or to tell, and *armed* when time alone may give it
//! something. Those that wait for a neighbour's address are apart, and are looked at when one was resolved. Nothing
//! walks over all connections, except when this machine's own addresses have changed.

mod listeners;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{Device, Medium, TxToken};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpProtocol, Ipv6Address};

use super::connection::{Cause, Connection, HANDSHAKE_TIMEOUT, ORPHAN_TIMEOUT, Owner};
use super::error::Error;
use super::frame::{self, Kind, Tuple};
use super::link::{Link, Outcome, Via, inject};
use super::ports::Ports;
use super::sequence::Noting;
use super::slab::{Id, Slab};
use super::stack::Holdings;
use super::udp::Datagrams;
use crate::io::Signal;
use listeners::Listener;

/// There is never more than this many connections, whatever memory there is.
const MAX_CONNECTIONS: usize = 16_384;
/// Segments that one connection may send before the next one's turn.
const BURST: usize = 32;
/// Connections in TIME-WAIT. The oldest go first: what they guard against is rare, their buffers are not small.
const MAX_TIME_WAIT: usize = 32;

/// A received frame and where it came in.
pub struct Arrival<'a> {
    pub frame: &'a [u8],
    pub via: Via,
    pub medium: Medium,
    pub mac: EthernetAddress,
    /// The device has not checked the checksums.
    pub verify: bool,
    /// It is longer than the link's frames: several segments, which the device has put together.
    pub combined: bool,
    pub now: Instant,
}

/// Whether a datagram to `address` is for more than one receiver: a group, or everyone on the link.
fn is_for_many(interface: &Interface, address: IpAddress) -> bool {
    let is_for_all =
        |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv4(own) if own.broadcast().map(IpAddress::Ipv4) == Some(address));
    address.is_multicast() || address.is_broadcast() || interface.ip_addrs().iter().any(is_for_all)
}

/// All sockets.
pub struct Table<S: Signal> {
    pub connections: Slab<Connection<S>>,
    by_tuple: BTreeMap<Tuple, Id>,
    pub listeners: Slab<Listener<S>>,
    listener_ports: Ports,
    pub datagrams: Datagrams<S>,
    queue: VecDeque<Id>,
    timers: BTreeSet<(Instant, Id)>,
    time_wait: VecDeque<Id>,
    /// Connections that could not send because a neighbour's address is unknown.
    unresolved: Vec<Id>,
    /// An address was resolved: whoever waits for one may go on.
    resolved: bool,
    /// How often any connection was looked at, for the tests that count.
    #[cfg(test)]
    pub touched: usize,
    /// Bytes of all connections' buffers, and how many they may be: what is left of memory belongs to the program.
    buffered: usize,
    budget: usize,
}

impl<S: Signal> Table<S> {
    /// No sockets, and room for connections whose buffers take up to `budget` bytes in all.
    pub const fn new(budget: usize) -> Self {
        Self {
            connections: Slab::new(),
            by_tuple: BTreeMap::new(),
            listeners: Slab::new(),
            listener_ports: Ports::new(),
            datagrams: Datagrams::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            time_wait: VecDeque::new(),
            unresolved: Vec::new(),
            resolved: false,
            #[cfg(test)]
            touched: 0,
            buffered: 0,
            budget,
        }
    }

    /// Bytes of buffer each way for one more connection: generous while there are few, so that thousands fit as well.
    /// `None` when there are too many.
    pub fn capacity(&self) -> Option<usize> {
        let capacity = match 4 * self.buffered / self.budget {
            0 => 64 * 1024,
            1 => 32 * 1024,
            2 => 16 * 1024,
            _ => 4 * 1024,
        };
        let fits = self.connections.len() < MAX_CONNECTIONS && self.buffered + 2 * capacity <= self.budget;
        fits.then_some(capacity)
    }

    /// What there is of everything.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            connections: self.connections.len(),
            listeners: self.listeners.len(),
            datagrams: self.datagrams.len(),
            timers: self.timers.len(),
            buffered: self.buffered,
        }
    }

    /// Whether a connection with these two ends exists.
    pub fn is_taken(&self, tuple: &Tuple) -> bool {
        self.by_tuple.contains_key(tuple)
    }

    /// Adds a connection, found from now on by the frames that name its tuple.
    pub fn insert(&mut self, connection: Connection<S>) -> Id {
        let tuple = connection.tuple;
        self.buffered += connection.buffered();
        let id = self.connections.insert(connection);
        self.by_tuple.insert(tuple, id);
        id
    }

    /// Asks for `id` to be looked at in the next round.
    pub fn enqueue(&mut self, id: Id) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.queued
        {
            connection.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Asks for every connection to be looked at: the addresses of this machine or of its neighbours changed.
    pub fn enqueue_all(&mut self) {
        let ids: Vec<Id> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.enqueue(id);
        }
    }

    /// Whether any connection waits for a round.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Instant> {
        let connections = self.timers.first().map(|(at, _)| *at);
        match (connections, self.datagrams.retry_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    // ---- frames in ----

    /// Takes one received frame. `answer` is room for one frame in reply. What is a router's advertisement is not for
    /// this room, and is returned with the router's address.
    pub fn ingress<'f, T: TxToken>(
        &mut self,
        interface: &mut Interface,
        shared: &mut SocketSet<'static>,
        arrival: &Arrival<'f>,
        answer: T,
    ) -> Option<(Ipv6Address, &'f [u8])> {
        let (frame, now) = (arrival.frame, arrival.now);
        match frame::classify(arrival.medium, arrival.mac, frame) {
            Kind::Junk => {}
            Kind::Segment { tuple, opens } => {
                let known = self.by_tuple.get(&tuple).copied().filter(|&id| self.still_there(id, opens));
                let listener = if known.is_none() && opens && interface.has_ip_addr(tuple.local.addr) {
                    self.listener_for(&tuple)
                } else {
                    None
                };
                let id = match listener {
                    None => known,
                    Some(_) if arrival.verify && !frame::checksums_are_right(arrival.medium, frame) => return None,
                    Some(listener) => match self.open_passively(listener, tuple, arrival.via, now) {
                        Some(id) => Some(id),
                        // No room: say nothing, the peer will ask again.
                        None => return None,
                    },
                };
                match id.and_then(|id| Some((id, self.connections.get_mut(id)?))) {
                    Some((id, connection)) => {
                        if connection.awaits_only_its_end() && connection.sent.only_repeats(frame) {
                            return None;
                        }
                        if arrival.combined {
                            connection.delay_acknowledgements(false);
                        }
                        let sent = (arrival.medium == Medium::Ethernet).then_some(&mut connection.sent);
                        inject(interface, now, frame, Some(Noting::new(answer, sent)), &mut connection.set);
                        if arrival.combined {
                            connection.delay_acknowledgements(true);
                        }
                        self.enqueue(id);
                    }
                    None => inject(interface, now, frame, Some(answer), shared),
                }
            }
            Kind::Datagram(to) => {
                let mut answer = Some(answer);
                let (one, many) = match is_for_many(interface, to.addr) {
                    true => (None, self.datagrams.receivers(to)),
                    false => (self.datagrams.receiver(to), Vec::new()),
                };
                for id in one.into_iter().chain(many) {
                    if let Some(set) = self.datagrams.set(id, arrival.via) {
                        inject(interface, now, frame, answer.take(), set);
                    }
                }
                if answer.is_some() {
                    inject(interface, now, frame, answer, shared);
                }
            }
            Kind::Undelivered { protocol: IpProtocol::Udp, tuple, reason } => {
                self.datagrams.undelivered(&tuple, reason)
            }
            Kind::Undelivered { tuple, reason, .. } => self.undelivered(&tuple, reason),
            Kind::Resolution => {
                inject(interface, now, frame, Some(answer), shared);
                self.resolved = true;
            }
            Kind::Advertisement { router, message } => return Some((router, message)),
            Kind::Other => inject(interface, now, frame, Some(answer), shared),
        }
        None
    }

    /// A segment of this machine's did not arrive. Only a handshake ends over it (RFC 5461): later the message may be
    /// forged, or the trouble pass.
    fn undelivered(&mut self, tuple: &Tuple, reason: Error) {
        let Some(&id) = self.by_tuple.get(tuple) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.owner == Owner::Program && connection.socket().state() == State::SynSent {
            connection.error = Some(reason);
            connection.socket_mut().abort();
            self.enqueue(id);
        }
    }

    /// Whether the connection `id` still takes segments. One that is over gives way to a new one between the same ends.
    fn still_there(&mut self, id: Id, opens: bool) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        match connection.socket().state() {
            State::Closed | State::Listen => {
                self.settle(id, Cause::Segment);
                false
            }
            State::TimeWait if opens => {
                match connection.owner {
                    Owner::Nobody { .. } => self.discard(id),
                    _ => self.forget_tuple(id),
                }
                false
            }
            _ => true,
        }
    }

    // ---- rounds ----

    /// Looks at every queued connection, and at those whose time has come: sends what they have to send.
    pub fn serve<D: Device, L: Device>(&mut self, nic: &mut Option<Link<D>>, loopback: &mut Link<L>, now: Instant) {
        if core::mem::take(&mut self.resolved) {
            for id in core::mem::take(&mut self.unresolved) {
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.unresolved = false;
                    self.enqueue(id);
                }
            }
            self.datagrams.retry();
        }
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(connection) = self.connections.get_mut(id) {
                connection.armed = None;
                self.enqueue(id);
            }
        }
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.queued = false;
            let more = match connection.via {
                Via::Loopback => self.serve_one(id, loopback, now),
                Via::Nic => match nic {
                    Some(link) => self.serve_one(id, link, now),
                    None => false,
                },
            };
            if more {
                self.enqueue(id);
            }
        }
        self.datagrams.serve(nic, loopback, now);
    }

    /// Sends what one connection has to send, notes what became of it, and says whether it wants another turn.
    pub fn serve_one<D: Device>(&mut self, id: Id, link: &mut Link<D>, now: Instant) -> bool {
        #[cfg(test)]
        {
            self.touched += 1;
        }
        self.settle(id, Cause::Segment);
        let Some(connection) = self.connections.get_mut(id) else { return false };
        // smoltcp forgets unread data when it leaves TIME-WAIT; it stays there until the program has read it.
        let unread = connection.socket().state() == State::TimeWait
            && connection.owner == Owner::Program
            && connection.socket().can_recv();
        let mut more = false;
        if !unread {
            let mut outcome = Outcome::Sent;
            for _ in 0..BURST {
                outcome = link.transmit_noting(now, &mut connection.set, Some(&mut connection.sent));
                if outcome != Outcome::Sent {
                    break;
                }
            }
            more = matches!(outcome, Outcome::Full | Outcome::Sent);
            if outcome == Outcome::Unresolved {
                link.ask_for(connection.tuple.remote.addr, now);
            }
            if outcome == Outcome::Unresolved && !connection.unresolved {
                connection.unresolved = true;
                if self.unresolved.len() > 2 * self.connections.len() + 64 {
                    let connections = &self.connections;
                    self.unresolved.retain(|&id| connections.get(id).is_some());
                }
                self.unresolved.push(id);
            }
        }
        self.settle(id, Cause::Timer);
        self.expire(id, now);
        let Some(connection) = self.connections.get_mut(id) else { return false };
        connection.publish();
        if unread || more {
            return more;
        }
        let by_stack = link.interface.poll_at(now, &connection.set);
        let by_owner = match connection.owner {
            Owner::Listener(_) if connection.is_opening() => Some(connection.born + HANDSHAKE_TIMEOUT),
            Owner::Nobody { deadline, .. } => Some(deadline),
            _ => None,
        };
        if let Some(at) = by_stack.into_iter().chain(by_owner).min() {
            // What is due but could not be done now (a neighbour's address is unknown) is tried again soon, not at
            // once.
            let at = at.max(now + Duration::from_millis(1));
            if connection.armed.is_none_or(|armed| at < armed) {
                if let Some(armed) = connection.armed.replace(at) {
                    self.timers.remove(&(armed, id));
                }
                self.timers.insert((at, id));
            }
        }
        false
    }

    /// Cuts off what has had its time: unfinished handshakes, and closed connections that make no progress.
    fn expire(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.owner {
            Owner::Listener(_) if connection.is_opening() && now >= connection.born + HANDSHAKE_TIMEOUT => {
                self.discard(id);
            }
            Owner::Nobody { deadline, unsent } if now >= deadline => {
                let left = connection.socket().send_queue();
                if left < unsent {
                    connection.owner = Owner::Nobody { deadline: now + ORPHAN_TIMEOUT, unsent: left };
                } else {
                    self.discard(id);
                }
            }
            _ => {}
        }
    }

    /// Draws the conclusions from a change of a connection's state.
    fn settle(&mut self, id: Id, cause: Cause) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (before, state) = (connection.seen, connection.socket().state());
        if connection.read_shutdown {
            // Nobody will read it, but the peer must not stand before a closed window.
            let mut lost = false;
            while matches!(connection.socket_mut().recv(|bytes| (bytes.len(), bytes.len())), Ok(1..)) {
                lost = true;
            }
            // A peer that goes on writing to who has closed must learn that (RFC 1122, section 4.2.2.13), once all that
            // was written before the close has arrived there.
            if lost && state == State::FinWait2 && matches!(connection.owner, Owner::Nobody { .. }) {
                return connection.socket_mut().abort();
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
                    let leaves =
                        |c: &Connection<S>| c.seen == State::TimeWait && matches!(c.owner, Owner::Nobody { .. });
                    if self.connections.get(oldest).is_some_and(leaves) {
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
        let Some(connection) = self.connections.remove(id) else { return };
        self.buffered -= connection.buffered();
        if let Some(armed) = connection.armed {
            self.timers.remove(&(armed, id));
        }
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
