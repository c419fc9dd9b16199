//! UDP sockets. Each has one smoltcp socket per link, because a datagram's destination decides the link that it takes.

mod channel;

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::iface::SocketSet;
use smoltcp::phy::{Device, PacketMeta};
use smoltcp::socket::udp::{SendError, UdpMetadata};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, IpEndpoint};

use self::channel::Channel;
use super::address::Local;
use super::error::Error;
use super::frame::Tuple;
use super::link::{Link, Outcome, Via};
use super::ports::Ports;
use super::slab::{Id, Slab};
use crate::io::{Ready, Signal};

/// How often a datagram whose next hop has no known address is tried again.
const RETRY: Duration = Duration::from_millis(1000);
/// How long a closed socket goes on trying to send what it had accepted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Multicast groups of one socket.
const MAX_GROUPS: usize = 32;

/// What a program can set on a UDP socket and its datagrams obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time to live of datagrams to one receiver.
    pub hop_limit: u8,
    /// The same for those to a multicast group; 0 keeps them on this machine.
    pub multicast_hop_limit: u8,
    /// Datagrams to a group also go to its members on this machine.
    pub multicast_loop: bool,
    /// Broadcasts are allowed.
    pub broadcast: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hop_limit: 64, multicast_hop_limit: 1, multicast_loop: true, broadcast: false }
    }
}

/// The way of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub via: Via,
    pub from: IpAddress,
    pub to: IpEndpoint,
    pub hop_limit: u8,
}

/// The two channels of one UDP socket.
#[derive(Default)]
struct Pair {
    nic: Channel,
    loopback: Channel,
}

impl Pair {
    fn of(&mut self, via: Via) -> &mut Channel {
        match via {
            Via::Nic => &mut self.nic,
            Via::Loopback => &mut self.loopback,
        }
    }

    fn both(&self) -> [&Channel; 2] {
        [&self.nic, &self.loopback]
    }

    fn can_recv(&self) -> bool {
        self.both().iter().any(|channel| channel.can_recv())
    }

    fn can_send(&self) -> bool {
        self.both().iter().all(|channel| channel.can_send())
    }

    fn unsent(&self) -> usize {
        self.both().iter().map(|channel| channel.unsent()).sum()
    }

    /// What its buffers take.
    fn size(&self) -> usize {
        self.both().iter().filter(|channel| channel.is_open()).count() * Channel::SIZE
    }
}

struct Entry<S: Signal> {
    local: Local,
    pair: Pair,
    /// Set by connect: the only peer, and the destination of a send that names none.
    peer: Option<IpEndpoint>,
    settings: Settings,
    /// The multicast groups that it takes part in.
    groups: Vec<IpAddress>,
    /// Where the last datagram went.
    last: Option<IpAddress>,
    /// What became of an earlier datagram to the peer, for the next call.
    error: Option<Error>,
    /// Whether it waits for the next round, or for a neighbour's address.
    queued: bool,
    waits: bool,
    /// The program has closed it; it sends what it has, but not beyond this time.
    closes_at: Option<Instant>,
    signal: Arc<S>,
    published: Option<Ready>,
}

impl<S: Signal> Entry<S> {
    fn publish(&mut self) {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.pair.can_recv() || self.error.is_some());
        ready.set(Ready::OUT, self.pair.can_send());
        ready.set(Ready::ERR, self.error.is_some());
        if self.published.replace(ready) != Some(ready) {
            self.signal.publish(ready);
        }
    }

    fn take_error(&mut self) -> Option<Error> {
        let error = self.error.take();
        if error.is_some() {
            self.publish();
        }
        error
    }

    /// Whether a datagram to a group or to everyone is for this socket as well.
    fn listens_to(&self, to: IpAddress) -> bool {
        self.local.takes(to) && (!to.is_multicast() || self.groups.contains(&to))
    }
}

/// All UDP sockets.
pub struct Datagrams<S: Signal> {
    entries: Slab<Entry<S>>,
    ports: Ports,
    /// The sockets that something was sent from or received for since the last round.
    queue: Vec<Id>,
    /// The sockets that could not send because a next hop's address is unknown.
    waiting: Vec<Id>,
    retry_at: Option<Instant>,
    /// Bytes of the channels' buffers, and how many they may be.
    buffered: usize,
    budget: usize,
}

impl<S: Signal> Datagrams<S> {
    /// No sockets, and room for buffers of up to `budget` bytes in all.
    pub const fn new(budget: usize) -> Self {
        Self {
            entries: Slab::new(),
            ports: Ports::new(),
            queue: Vec::new(),
            waiting: Vec::new(),
            retry_at: None,
            buffered: 0,
            budget,
        }
    }

    /// The channel by which a socket sends or receives, with its buffers.
    fn channel(&mut self, id: Id, via: Via) -> Result<&mut Channel, Error> {
        let is_open = self.entry(id)?.pair.of(via).is_open();
        if !is_open && self.buffered + Channel::SIZE > self.budget {
            self.release_idle();
        }
        let room = self.buffered + Channel::SIZE <= self.budget;
        let entry = self.entries.get_mut(id).ok_or(Error::Invalid)?;
        let port = entry.local.port;
        let channel = entry.pair.of(via);
        if !is_open {
            if !room || !channel.open(port) {
                return Err(Error::NoBuffers);
            }
            self.buffered += Channel::SIZE;
        }
        Ok(channel)
    }

    /// Gives back the buffers that nothing is in. There are never more than the budget has room for.
    fn release_idle(&mut self) {
        for entry in self.entries.iter_mut() {
            for via in [Via::Nic, Via::Loopback] {
                if entry.pair.of(via).release() {
                    self.buffered -= Channel::SIZE;
                }
            }
        }
    }

    /// Bytes of all sockets' buffers.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Datagrams that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.entries.iter().map(|(_, entry)| entry.pair.unsent()).sum()
    }

    fn entry(&mut self, id: Id) -> Result<&mut Entry<S>, Error> {
        self.entries.get_mut(id).ok_or(Error::Invalid)
    }

    /// Whether another socket is where one wants to be.
    pub fn is_taken(&self, local: &Local) -> bool {
        let mut there = self.ports.at(local.port).iter().filter_map(|&id| self.entries.get(id));
        there.any(|entry| entry.local.overlaps(local))
    }

    /// Opens a socket. The caller has made sure that `local` is free and its port not zero.
    pub fn bind(&mut self, local: Local, settings: Settings, signal: Arc<S>) -> Result<Id, Error> {
        if !self.entries.reserve() {
            return Err(Error::NoBuffers);
        }
        let mut entry = Entry {
            local,
            pair: Pair::default(),
            peer: None,
            settings,
            groups: Vec::new(),
            last: None,
            error: None,
            queued: false,
            waits: false,
            closes_at: None,
            signal,
            published: None,
        };
        entry.publish();
        let id = self.entries.insert(entry);
        self.ports.insert(local.port, id);
        Ok(id)
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Closes a socket; what it has not sent yet is sent in the background, if that is soon. Returns the groups that it
    /// was in.
    pub fn close(&mut self, id: Id, now: Instant) -> Vec<IpAddress> {
        let Some(entry) = self.entries.get_mut(id) else { return Vec::new() };
        self.ports.remove(entry.local.port, id);
        let groups = core::mem::take(&mut entry.groups);
        entry.closes_at = Some(now + CLOSE_TIMEOUT);
        self.end_if_done(id, now);
        groups
    }

    /// Removes a socket that was closed and has nothing more to do.
    fn end_if_done(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.entries.get(id) else { return };
        if entry.closes_at.is_some_and(|end| end <= now || entry.pair.unsent() == 0) {
            self.buffered -= entry.pair.size();
            self.entries.remove(id);
        }
    }

    /// Where a socket is bound.
    pub fn local(&self, id: Id) -> Result<Local, Error> {
        Ok(self.entries.get(id).ok_or(Error::Invalid)?.local)
    }

    /// The peer that a socket is connected to.
    pub fn peer(&self, id: Id) -> Result<IpEndpoint, Error> {
        self.entries.get(id).ok_or(Error::Invalid)?.peer.ok_or(Error::NotConnected)
    }

    /// Names the only peer, or none.
    pub fn set_peer(&mut self, id: Id, peer: Option<IpEndpoint>) -> Result<(), Error> {
        let entry = self.entry(id)?;
        entry.peer = peer;
        entry.take_error();
        Ok(())
    }

    /// What the program has set.
    pub fn settings(&self, id: Id) -> Result<Settings, Error> {
        Ok(self.entries.get(id).ok_or(Error::Invalid)?.settings)
    }

    /// What the program sets.
    pub fn configure(&mut self, id: Id, settings: Settings) -> Result<(), Error> {
        self.entry(id)?.settings = settings;
        Ok(())
    }

    /// Takes the error that waits for `SO_ERROR`.
    pub fn take_error(&mut self, id: Id) -> Option<Error> {
        self.entry(id).ok()?.take_error()
    }

    /// Makes a socket a member of a group. The links' own memberships are the caller's.
    pub fn join(&mut self, id: Id, group: IpAddress) -> Result<(), Error> {
        let entry = self.entry(id)?;
        if entry.groups.contains(&group) {
            return Err(Error::AddressInUse);
        }
        if entry.groups.len() >= MAX_GROUPS {
            return Err(Error::NoBuffers);
        }
        entry.groups.push(group);
        Ok(())
    }

    /// Ends a membership.
    pub fn leave(&mut self, id: Id, group: IpAddress) -> Result<(), Error> {
        let entry = self.entry(id)?;
        let at = entry.groups.iter().position(|&joined| joined == group).ok_or(Error::AddressNotAvailable)?;
        entry.groups.swap_remove(at);
        Ok(())
    }

    /// Whether any socket is in a group.
    pub fn has_member(&self, group: IpAddress) -> bool {
        self.entries.iter().any(|(_, entry)| entry.groups.contains(&group))
    }

    // ---- frames in ----

    /// Who gets a datagram that one receiver gets; an exact address goes before any address.
    pub fn receiver(&self, to: IpEndpoint) -> Option<Id> {
        let there = self.ports.at(to.port).iter().filter_map(|&id| Some((id, self.entries.get(id)?)));
        let fitting = there.filter(|(_, entry)| entry.local.takes(to.addr));
        fitting.min_by_key(|(_, entry)| entry.local.address.is_none()).map(|(id, _)| id)
    }

    /// Who gets a datagram to a group or to everyone.
    pub fn receivers(&self, to: IpEndpoint) -> Vec<Id> {
        let there = self.ports.at(to.port).iter().filter_map(|&id| Some((id, self.entries.get(id)?)));
        there.filter(|(_, entry)| entry.listens_to(to.addr)).map(|(id, _)| id).collect()
    }

    /// The smoltcp socket that is about to get a datagram; `None` if there is no memory for one.
    pub fn set(&mut self, id: Id, via: Via) -> Option<&mut SocketSet<'static>> {
        self.touch(id);
        self.channel(id, via).ok()?.set()
    }

    /// A datagram did not arrive. Who is connected to that peer learns it with the next call, as elsewhere.
    pub fn undelivered(&mut self, tuple: &Tuple, reason: Error) {
        for &id in self.ports.at(tuple.local.port) {
            if let Some(entry) = self.entries.get_mut(id)
                && entry.peer == Some(tuple.remote)
            {
                entry.error = Some(reason);
                entry.publish();
            }
        }
    }

    // ---- transferring ----

    /// Queues a datagram.
    pub fn send(&mut self, id: Id, bytes: &[u8], course: &Course) -> Result<usize, Error> {
        let entry = self.entry(id)?;
        if let Some(error) = entry.take_error() {
            return Err(error);
        }
        entry.last = Some(course.to.addr);
        let meta = UdpMetadata { endpoint: course.to, local_address: Some(course.from), meta: PacketMeta::default() };
        let result = match self.channel(id, course.via)?.send(bytes, meta, course.hop_limit) {
            Ok(()) => Ok(bytes.len()),
            Err(SendError::BufferFull) => Err(Error::WouldBlock),
            Err(SendError::Unaddressable) => Err(Error::Invalid),
        };
        self.entry(id)?.publish();
        self.touch(id);
        result
    }

    /// Takes, or only looks at, the oldest datagram. What does not fit `into` is lost, as everywhere.
    pub fn receive(&mut self, id: Id, into: &mut [u8], peek: bool) -> Result<(usize, IpEndpoint), Error> {
        let entry = self.entry(id)?;
        if let Some(error) = entry.take_error() {
            return Err(error);
        }
        let only = entry.peer;
        for via in [Via::Loopback, Via::Nic] {
            let channel = entry.pair.of(via);
            while let Ok((bytes, meta)) = channel.peek() {
                let from = meta.endpoint;
                if only.is_some_and(|peer| peer != from) {
                    channel.drop_oldest();
                    continue;
                }
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                if !peek {
                    channel.drop_oldest();
                }
                entry.publish();
                return Ok((len, from));
            }
        }
        entry.publish();
        Err(Error::WouldBlock)
    }

    // ---- rounds ----

    fn touch(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(id)
            && !core::mem::replace(&mut entry.queued, true)
        {
            self.queue.push(id);
        }
    }

    /// A next hop's address has become known: what waits for one is tried in the next round.
    pub fn retry(&mut self) {
        for id in core::mem::take(&mut self.waiting) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.waits = false;
            }
            self.touch(id);
        }
    }

    /// When what could not be sent is tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Sends what waits, and tells the owners what has changed.
    pub fn egress<D: Device, L: Device>(&mut self, nic: &mut Option<Link<D>>, loopback: &mut Link<L>, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry();
        }
        for id in core::mem::take(&mut self.queue) {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.queued = false;
            let by_nic = nic.as_mut().map_or(Outcome::Sent, |nic| entry.pair.nic.transmit(nic, now));
            if let (Outcome::Unresolved, Some(nic), Some(to)) = (by_nic, nic.as_mut(), entry.last) {
                nic.ask_for(to, now);
            }
            let by_loopback = entry.pair.loopback.transmit(loopback, now);
            entry.publish();
            if by_nic == Outcome::Full || by_loopback == Outcome::Full {
                self.touch(id);
            } else if by_nic != Outcome::Sent && !core::mem::replace(&mut entry.waits, true) {
                self.waiting.push(id);
            }
            self.end_if_done(id, now);
        }
        self.retry_at = if self.waiting.is_empty() {
            None
        } else {
            Some(self.retry_at.filter(|&at| at > now).unwrap_or(now + RETRY))
        };
    }
}
