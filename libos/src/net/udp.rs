//! UDP sockets. Each has one smoltcp socket per link, because a datagram's destination decides the link that it takes.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};

use super::error::Error;
use super::link::{Link, Via};
use super::slab::{Id, Slab};
use crate::io::{Ready, Signal};

/// Datagrams that can wait in each direction, and their bytes.
const PACKETS: usize = 32;
const BYTES: usize = 32 * 1024;
/// The largest datagram that fits a frame of the usual size: 1500 bytes less the IPv4 and UDP headers.
pub const MAX_PAYLOAD: usize = 1472;
/// How often a datagram whose next hop has no known address is tried again.
const RETRY: Duration = Duration::from_millis(1000);

/// The two smoltcp sockets of one UDP socket.
pub struct Pair {
    nic: SocketSet<'static>,
    loopback: SocketSet<'static>,
    handle: SocketHandle,
}

impl Pair {
    fn new(local: IpListenEndpoint) -> Option<Self> {
        let set = || {
            let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], vec![0; BYTES]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.bind(local).ok()?;
            let mut set = SocketSet::new(Vec::new());
            let handle = set.add(socket);
            Some((set, handle))
        };
        let ((nic, handle), (loopback, _)) = (set()?, set()?);
        Some(Self { nic, loopback, handle })
    }

    /// The set whose socket uses `via`.
    pub fn of(&mut self, via: Via) -> &mut SocketSet<'static> {
        match via {
            Via::Nic => &mut self.nic,
            Via::Loopback => &mut self.loopback,
        }
    }

    fn socket(&mut self, via: Via) -> &mut Socket<'static> {
        let handle = self.handle;
        self.of(via).get_mut(handle)
    }

    fn can_recv(&self) -> bool {
        [&self.nic, &self.loopback].iter().any(|set| set.get::<Socket<'_>>(self.handle).can_recv())
    }

    fn can_send(&self) -> bool {
        [&self.nic, &self.loopback].iter().all(|set| set.get::<Socket<'_>>(self.handle).can_send())
    }

    fn unsent(&self, via: Via) -> bool {
        let set = if via == Via::Nic { &self.nic } else { &self.loopback };
        set.get::<Socket<'_>>(self.handle).send_queue() > 0
    }
}

struct Entry<S: Signal> {
    local: IpListenEndpoint,
    pair: Pair,
    /// Set by connect: the only peer, and the destination of a send that names none.
    peer: Option<IpEndpoint>,
    signal: Arc<S>,
    published: Option<Ready>,
}

impl<S: Signal> Entry<S> {
    fn publish(&mut self) {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.pair.can_recv());
        ready.set(Ready::OUT, self.pair.can_send());
        if self.published.replace(ready) != Some(ready) {
            self.signal.publish(ready);
        }
    }
}

/// All UDP sockets.
pub struct Datagrams<S: Signal> {
    entries: Slab<Entry<S>>,
    /// Something was sent, received or resolved since the last round.
    active: bool,
    retry_at: Option<Instant>,
}

impl<S: Signal> Datagrams<S> {
    pub const fn new() -> Self {
        Self { entries: Slab::new(), active: false, retry_at: None }
    }

    /// Whether a socket is bound to `port` at `address`, or either of them at any address.
    pub fn is_bound(&self, address: Option<IpAddress>, port: u16) -> bool {
        self.entries.iter().any(|(_, entry)| {
            entry.local.port == port && (entry.local.addr.is_none() || address.is_none() || entry.local.addr == address)
        })
    }

    /// Opens a socket. The caller has made sure that `local` is free and its port not zero.
    pub fn bind(&mut self, local: IpListenEndpoint, signal: Arc<S>) -> Result<Id, Error> {
        let pair = Pair::new(local).ok_or(Error::Invalid)?;
        let mut entry = Entry { local, pair, peer: None, signal, published: None };
        entry.publish();
        Ok(self.entries.insert(entry))
    }

    /// Closes a socket; what it has not sent yet is forgotten.
    pub fn close(&mut self, id: Id) {
        self.entries.remove(id);
    }

    /// The address and port that a socket is bound to.
    pub fn local(&self, id: Id) -> Result<IpListenEndpoint, Error> {
        Ok(self.entries.get(id).ok_or(Error::Invalid)?.local)
    }

    /// The peer that a socket is connected to.
    pub fn peer(&self, id: Id) -> Result<IpEndpoint, Error> {
        self.entries.get(id).ok_or(Error::Invalid)?.peer.ok_or(Error::NotConnected)
    }

    /// Names the only peer, or none.
    pub fn set_peer(&mut self, id: Id, peer: Option<IpEndpoint>) -> Result<(), Error> {
        self.entries.get_mut(id).ok_or(Error::Invalid)?.peer = peer;
        Ok(())
    }

    /// Sets the time to live of outgoing datagrams, 1 to 255.
    pub fn set_hop_limit(&mut self, id: Id, limit: u8) -> Result<(), Error> {
        let entry = self.entries.get_mut(id).ok_or(Error::Invalid)?;
        for via in [Via::Nic, Via::Loopback] {
            entry.pair.socket(via).set_hop_limit(Some(limit.max(1)));
        }
        Ok(())
    }

    /// The sockets of whoever is bound to `to`; an exact address goes before any address.
    pub fn receiver(&mut self, to: IpEndpoint) -> Option<&mut Pair> {
        let fits =
            |entry: &Entry<S>, exact: bool| entry.local.port == to.port && entry.local.addr == exact.then_some(to.addr);
        let id = [true, false]
            .into_iter()
            .find_map(|exact| self.entries.iter().find(|(_, entry)| fits(entry, exact)).map(|(id, _)| id))?;
        self.active = true;
        Some(&mut self.entries.get_mut(id)?.pair)
    }

    /// Queues a datagram to `to`, or to the connected peer.
    pub fn send(
        &mut self,
        id: Id,
        via: impl FnOnce(IpAddress) -> Via,
        bytes: &[u8],
        to: Option<IpEndpoint>,
    ) -> Result<usize, Error> {
        let entry = self.entries.get_mut(id).ok_or(Error::Invalid)?;
        let to = to.or(entry.peer).ok_or(Error::DestinationRequired)?;
        if bytes.len() > MAX_PAYLOAD {
            return Err(Error::TooLong);
        }
        let result = match entry.pair.socket(via(to.addr)).send_slice(bytes, to) {
            Ok(()) => Ok(bytes.len()),
            Err(SendError::BufferFull) => Err(Error::WouldBlock),
            Err(SendError::Unaddressable) => Err(Error::Invalid),
        };
        self.active = true;
        entry.publish();
        result
    }

    /// Takes, or only looks at, the oldest datagram. What does not fit `into` is lost, as everywhere.
    pub fn receive(&mut self, id: Id, into: &mut [u8], peek: bool) -> Result<(usize, IpEndpoint), Error> {
        let entry = self.entries.get_mut(id).ok_or(Error::Invalid)?;
        let only = entry.peer;
        for via in [Via::Loopback, Via::Nic] {
            let socket = entry.pair.socket(via);
            while let Ok((bytes, meta)) = socket.peek() {
                let from = meta.endpoint;
                if only.is_some_and(|peer| peer != from) {
                    let _ = socket.recv();
                    continue;
                }
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                if !peek {
                    let _ = socket.recv();
                }
                entry.publish();
                return Ok((len, from));
            }
        }
        entry.publish();
        Err(Error::WouldBlock)
    }

    /// A next hop's address has become known: what waits for one is tried in the next round.
    pub fn retry(&mut self) {
        self.active = true;
    }

    /// When what could not be sent is tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Sends what waits, and tells the owners what has changed.
    pub fn serve<D: Device, L: Device>(&mut self, nic: &mut Option<Link<D>>, loopback: &mut Link<L>, now: Instant) {
        if !core::mem::take(&mut self.active) && self.retry_at.is_none_or(|at| now < at) {
            return;
        }
        let ids: Vec<Id> = self.entries.iter().map(|(id, _)| id).collect();
        let mut waiting = false;
        for entry in ids {
            let Some(entry) = self.entries.get_mut(entry) else { continue };
            if let Some(nic) = nic {
                while entry.pair.unsent(Via::Nic) && nic.transmit(now, &mut entry.pair.nic) {}
                waiting |= entry.pair.unsent(Via::Nic);
            }
            while entry.pair.unsent(Via::Loopback) && loopback.transmit(now, &mut entry.pair.loopback) {}
            waiting |= entry.pair.unsent(Via::Loopback);
            entry.publish();
        }
        self.retry_at = waiting.then_some(now + RETRY);
    }
}
