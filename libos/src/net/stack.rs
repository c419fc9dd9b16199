//! The network stack: two links, the sockets, and every call on them that does not block.
//!
//! Generic over the device and over the way an owner is told about changes, and without a lock or a clock of its own, so
//! that it runs under `cargo test` with two stacks back to back and a clock that the test moves.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::phy::{Device, RxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint, Ipv4Address, Ipv4Cidr};

use super::connection::{Connection, ORPHAN_TIMEOUT, Owner};
use super::error::Error;
use super::frame::Tuple;
use super::link::{Link, Via};
use super::loopback::Loopback;
use super::slab::Id;
use super::table::{Arrival, MAX_CONNECTIONS, Table};
use crate::io::Signal;

/// Frames taken from a device before the connections they were for get their turn.
const BATCH: usize = 64;
/// Rounds in one call of [`Stack::poll`]; what is left waits for the next call.
const ROUNDS: usize = 8;
/// The fewest connections that a listener lets wait, whatever backlog it asks for: clients that come all at once are to
/// be served, not to be told to try again.
const MIN_BACKLOG: usize = 256;
const MAX_BACKLOG: usize = 1024;
/// The ports given to those who do not name one (RFC 6335, section 6).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;

/// A change of the network card's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// It has this address now.
    Configured {
        /// The address and its network.
        address: Ipv4Cidr,
        /// Whether a DHCP server gave it.
        by_dhcp: bool,
    },
    /// The DHCP server has taken it back.
    Lost,
}

/// The halves of a connection that `shutdown` closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halves {
    /// No more is read.
    pub read: bool,
    /// No more is written: the peer sees the end of the data once it has it all.
    pub write: bool,
}

/// What happens to unsent data when a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    /// It is sent in the background, in bounded time.
    Background,
    /// The connection is reset at once.
    Reset,
}

/// The stack.
pub struct Stack<D: Device, S: Signal> {
    nic: Option<Link<D>>,
    loopback: Link<Loopback>,
    table: Table<S>,
    dhcp: Option<smoltcp::iface::SocketHandle>,
    /// When the network card's own sockets (DHCP) want to be looked at.
    shared_at: Option<Instant>,
    changes: Vec<AddressChange>,
    next_port: u16,
}

impl<D: Device, S: Signal> Stack<D, S> {
    /// A stack that reaches only this machine itself. `seed` makes sequence numbers and ports hard to guess.
    pub fn new(seed: u64, now: Instant) -> Self {
        let mut loopback = Link::new(Loopback::default(), EthernetAddress([0; 6]), seed, now);
        // Every address that is sent here is this machine's: 127.0.0.0/8 and the network card's.
        loopback.interface.set_any_ip(true);
        loopback.interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::v4(127, 0, 0, 1), 8));
        });
        let span = EPHEMERAL.end() - EPHEMERAL.start();
        Self {
            nic: None,
            loopback,
            table: Table::new(),
            dhcp: None,
            shared_at: None,
            changes: Vec::new(),
            next_port: EPHEMERAL.start() + (seed >> 32) as u16 % span,
        }
    }

    /// Adds the network card. It has no address yet.
    pub fn attach(&mut self, device: D, mac: EthernetAddress, seed: u64, now: Instant) {
        self.nic = Some(Link::new(device, mac, seed, now));
    }

    /// The network card's device.
    pub fn device(&mut self) -> Option<&mut D> {
        self.nic.as_mut().map(|nic| &mut nic.device)
    }

    /// Asks a DHCP server for an address.
    pub fn use_dhcp(&mut self, now: Instant) {
        let Some(nic) = &mut self.nic else { return };
        let mut socket = dhcpv4::Socket::new();
        let mut retry = dhcpv4::RetryConfig::default();
        retry.discover_timeout = smoltcp::time::Duration::from_secs(2);
        retry.initial_request_timeout = smoltcp::time::Duration::from_secs(2);
        socket.set_retry_config(retry);
        self.dhcp = Some(nic.shared.add(socket));
        self.shared_at = Some(now);
    }

    /// Gives the network card a fixed address.
    pub fn use_address(&mut self, address: Ipv4Cidr, gateway: Option<Ipv4Address>) {
        self.set_address(Some(address), gateway, false);
    }

    fn set_address(&mut self, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>, by_dhcp: bool) {
        let Some(nic) = &mut self.nic else { return };
        nic.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(address) = address {
                let _ = addresses.push(IpCidr::Ipv4(address));
            }
        });
        nic.interface.routes_mut().remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            let _ = nic.interface.routes_mut().add_default_ipv4_route(gateway);
        }
        self.changes.push(match address {
            Some(address) => AddressChange::Configured { address, by_dhcp },
            None => AddressChange::Lost,
        });
        self.table.enqueue_all();
        self.table.datagrams.retry();
    }

    /// The next change of the network card's address that was not reported yet.
    pub fn take_change(&mut self) -> Option<AddressChange> {
        if self.changes.is_empty() { None } else { Some(self.changes.remove(0)) }
    }

    /// Whether there is a network card.
    pub fn has_card(&self) -> bool {
        self.nic.is_some()
    }

    /// The network card's address, once it has one.
    pub fn address(&self) -> Option<Ipv4Address> {
        self.nic.as_ref()?.interface.ipv4_addr()
    }

    /// Takes received frames, runs timers and sends what is to be sent. Bounded; `true`: call again, there is more to do.
    ///
    /// When the device has no room for a frame, the rest waits for the next call, which the device's interrupt leads to.
    pub fn poll(&mut self, now: Instant) -> bool {
        if let Some(nic) = &mut self.nic {
            nic.full = false;
        }
        for _ in 0..ROUNDS {
            let mut received = false;
            for _ in 0..BATCH {
                let by_nic = self.receive_nic(now);
                let by_loopback = self.receive_loopback(now);
                received |= by_nic || by_loopback;
                if !by_nic && !by_loopback {
                    break;
                }
            }
            let due = self.shared_at.is_some_and(|at| at <= now);
            if received || due {
                self.serve_shared(now);
            }
            self.table.serve(&mut self.nic, &mut self.loopback, now);
            if !received && !self.loopback_pending() {
                return self.table.has_work() && !self.nic.as_ref().is_some_and(|nic| nic.full);
            }
        }
        true
    }

    /// When [`Stack::poll`] is to be called next though nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.table.next_timer().into_iter().chain(self.shared_at).min()
    }

    fn loopback_pending(&self) -> bool {
        self.loopback.device.is_pending()
    }

    fn receive_nic(&mut self, now: Instant) -> bool {
        let Some(nic) = &mut self.nic else { return false };
        let verify = nic.device.capabilities().checksum.tcp.rx();
        let Link { interface, device, shared, medium, mac, .. } = nic;
        let Some((token, answer)) = device.receive(now) else { return false };
        token.consume(|frame| {
            let arrival = Arrival { frame, via: Via::Nic, medium: *medium, mac: *mac, verify, now };
            self.table.ingress(interface, shared, &arrival, answer);
        });
        true
    }

    fn receive_loopback(&mut self, now: Instant) -> bool {
        let Link { interface, device, shared, medium, mac, .. } = &mut self.loopback;
        let Some((token, answer)) = device.receive(now) else { return false };
        token.consume(|frame| {
            let arrival = Arrival { frame, via: Via::Loopback, medium: *medium, mac: *mac, verify: false, now };
            self.table.ingress(interface, shared, &arrival, answer);
        });
        true
    }

    /// Lets DHCP act and takes over what it has found.
    fn serve_shared(&mut self, now: Instant) {
        let (Some(nic), Some(dhcp)) = (&mut self.nic, self.dhcp) else { return };
        while nic.transmit_shared(now) {}
        let event = match nic.shared.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            None => None,
            Some(dhcpv4::Event::Configured(config)) => Some((Some(config.address), config.router)),
            Some(dhcpv4::Event::Deconfigured) => Some((None, None)),
        };
        self.shared_at = nic.interface.poll_at(now, &nic.shared).map(|at| at.max(now));
        // DHCP begins with the news that there is no address, which is none.
        if let Some((address, gateway)) = event
            && (address.is_some() || self.address().is_some())
        {
            self.set_address(address, gateway, true);
        }
    }

    // ---- addresses and ports ----

    /// The link that a packet to `address` takes.
    fn via(&self, address: IpAddress) -> Via {
        let own = self.nic.as_ref().is_some_and(|nic| nic.has_address(address));
        if own || super::frame::is_loopback(address) { Via::Loopback } else { Via::Nic }
    }

    /// Whether a program may bind to `address`.
    fn is_local(&self, address: IpAddress) -> bool {
        self.via(address) == Via::Loopback
    }

    /// Whether there is a way to `address` now.
    pub fn is_reachable(&self, address: IpAddress) -> bool {
        self.via(address) == Via::Loopback || self.address().is_some()
    }

    /// This machine's address on the way to `address`.
    fn source_for(&self, address: IpAddress) -> Result<IpAddress, Error> {
        if super::frame::is_loopback(address) || self.via(address) == Via::Loopback {
            return Ok(address);
        }
        self.address().map(IpAddress::Ipv4).ok_or(Error::Unreachable)
    }

    /// A port for which `free` holds, starting from one that is hard to guess.
    fn ephemeral(&mut self, mut free: impl FnMut(&Self, u16) -> bool) -> Result<u16, Error> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if free(self, port) {
                return Ok(port);
            }
        }
        Err(Error::AddressInUse)
    }

    fn stream_port_is_free(&self, address: Option<IpAddress>, port: u16) -> bool {
        self.table.listeners.iter().all(|(_, listener)| {
            listener.port != port || (listener.address.is_some() && address.is_some() && listener.address != address)
        })
    }

    /// Checks that a stream socket may be bound to `local`, and gives it a port if it names none.
    pub fn bind_stream(&mut self, local: IpListenEndpoint) -> Result<IpListenEndpoint, Error> {
        if local.addr.is_some_and(|address| !self.is_local(address)) {
            return Err(Error::AddressNotAvailable);
        }
        if local.port == 0 {
            let port = self.ephemeral(|stack, port| stack.stream_port_is_free(local.addr, port))?;
            return Ok(IpListenEndpoint { port, ..local });
        }
        if self.stream_port_is_free(local.addr, local.port) { Ok(local) } else { Err(Error::AddressInUse) }
    }

    // ---- streams ----

    /// Accepts connections at `local`, of which about `backlog` may wait.
    pub fn listen(&mut self, local: IpListenEndpoint, backlog: usize, signal: Arc<S>) -> Result<Id, Error> {
        let local = self.bind_stream(local)?;
        Ok(self.table.listen(local.addr, local.port, backlog.clamp(MIN_BACKLOG, MAX_BACKLOG), signal))
    }

    /// Where a listener listens.
    pub fn listening_at(&self, listener: Id) -> Result<IpListenEndpoint, Error> {
        let listener = self.table.listeners.get(listener).ok_or(Error::Invalid)?;
        Ok(IpListenEndpoint { addr: listener.address, port: listener.port })
    }

    /// Takes the oldest connection that waits at a listener.
    pub fn accept(&mut self, listener: Id) -> Result<(Id, Arc<S>, Tuple), Error> {
        let id = self.table.accept(listener)?;
        let connection = self.table.connections.get(id).ok_or(Error::Aborted)?;
        Ok((id, connection.signal.clone(), connection.tuple))
    }

    /// Closes a listener and resets the connections that nobody accepted.
    pub fn unlisten(&mut self, listener: Id, now: Instant) {
        for id in self.table.unlisten(listener) {
            self.abort(id, now);
        }
    }

    /// Starts a connection to `remote`.
    pub fn connect(
        &mut self,
        remote: IpEndpoint,
        local: Option<IpListenEndpoint>,
        signal: Arc<S>,
        now: Instant,
    ) -> Result<Id, Error> {
        // The unspecified address means this machine, as elsewhere.
        let remote = if remote.addr.is_unspecified() {
            IpEndpoint::new(IpAddress::v4(127, 0, 0, 1), remote.port)
        } else {
            remote
        };
        if remote.port == 0 || !remote.addr.is_unicast() {
            return Err(Error::AddressNotAvailable);
        }
        if self.table.connections.len() >= MAX_CONNECTIONS {
            return Err(Error::NoBuffers);
        }
        let address = match local.and_then(|local| local.addr) {
            Some(address) => address,
            None => self.source_for(remote.addr)?,
        };
        let tuple_for = |port| Tuple { local: IpEndpoint::new(address, port), remote };
        let port = match local {
            Some(IpListenEndpoint { port, .. }) if port != 0 => port,
            _ => self.ephemeral(|stack, port| {
                stack.stream_port_is_free(None, port) && !stack.table.is_taken(&tuple_for(port))
            })?,
        };
        let tuple = tuple_for(port);
        if self.table.is_taken(&tuple) {
            return Err(Error::AddressInUse);
        }
        let via = self.via(remote.addr);
        let capacity = self.table.capacity();
        let mut connection =
            Connection::new(tuple, via, Owner::Program, signal, capacity, now).ok_or(Error::NoBuffers)?;
        connection.expect_answer();
        let interface = match (via, &mut self.nic) {
            (Via::Loopback, _) => &mut self.loopback.interface,
            (Via::Nic, Some(nic)) => &mut nic.interface,
            (Via::Nic, None) => return Err(Error::Unreachable),
        };
        let started = connection.socket_mut().connect(interface.context(), tuple.remote, tuple.local);
        started.map_err(|_| Error::AddressNotAvailable)?;
        connection.seen = connection.socket().state();
        connection.publish();
        let id = self.table.insert(connection);
        self.serve(id, now);
        Ok(id)
    }

    fn connection(&mut self, id: Id) -> Result<&mut Connection<S>, Error> {
        self.table.connections.get_mut(id).ok_or(Error::NotConnected)
    }

    /// Sends what one connection has to send.
    fn serve(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.table.connections.get(id) else { return };
        let more = match (connection.via, &mut self.nic) {
            (Via::Loopback, _) => self.table.serve_one(id, &mut self.loopback, now),
            (Via::Nic, Some(nic)) => self.table.serve_one(id, nic, now),
            (Via::Nic, None) => false,
        };
        if more {
            self.table.enqueue(id);
        }
    }

    /// Queues as much of `parts` as there is room for, and sends what may be sent. Returns the number of bytes queued.
    pub fn send<'b>(&mut self, id: Id, parts: impl Iterator<Item = &'b [u8]>, now: Instant) -> Result<usize, Error> {
        let connection = self.connection(id)?;
        if let Some(error) = connection.error.take() {
            connection.publish();
            return Err(error);
        }
        if connection.is_opening() {
            return Err(Error::WouldBlock);
        }
        if connection.write_shutdown || !connection.socket().may_send() {
            return Err(Error::BrokenPipe);
        }
        let (mut sent, mut asked) = (0, 0);
        for part in parts {
            asked += part.len();
            let queued = connection.socket_mut().send_slice(part).unwrap_or(0);
            sent += queued;
            if queued < part.len() {
                break;
            }
        }
        if sent == 0 && asked > 0 {
            return Err(Error::WouldBlock);
        }
        self.serve(id, now);
        Ok(sent)
    }

    /// Moves received bytes into `parts`, or copies them if `peek`. Zero is the end of the data.
    pub fn receive<'b>(
        &mut self,
        id: Id,
        parts: impl Iterator<Item = &'b mut [u8]>,
        peek: bool,
        now: Instant,
    ) -> Result<usize, Error> {
        let connection = self.connection(id)?;
        if connection.read_shutdown {
            return Ok(0);
        }
        let queued = connection.socket().recv_queue();
        let (mut received, mut asked) = (0, 0);
        for part in parts {
            asked += part.len();
            let len = if peek {
                // Only the first part: what smoltcp shows is not taken away, so a second look would show the same.
                connection.socket_mut().peek_slice(part).unwrap_or(0)
            } else {
                connection.socket_mut().recv_slice(part).unwrap_or(0)
            };
            received += len;
            if len < part.len() || peek {
                break;
            }
        }
        if received > 0 || asked == 0 {
            // A nearly full buffer held the peer back; tell it about the room. Otherwise the next segment does.
            let news = !peek && 4 * queued >= connection.socket().recv_capacity();
            connection.publish();
            if news {
                self.serve(id, now);
            }
            return Ok(received);
        }
        if let Some(error) = connection.error.take() {
            connection.publish();
            return Err(error);
        }
        if connection.readable() { Ok(0) } else { Err(Error::WouldBlock) }
    }

    /// Closes one or both halves. Data that was queued before is still sent.
    pub fn shutdown(&mut self, id: Id, halves: Halves, now: Instant) -> Result<(), Error> {
        let connection = self.connection(id)?;
        if connection.is_opening() || connection.is_over() {
            return Err(Error::NotConnected);
        }
        connection.read_shutdown |= halves.read;
        if halves.write && !connection.write_shutdown {
            connection.write_shutdown = true;
            connection.socket_mut().close();
        }
        self.serve(id, now);
        Ok(())
    }

    /// Gives up a connection. Unsent data is sent in the background, unless `linger` or unread data says to reset it.
    pub fn close(&mut self, id: Id, linger: Linger, now: Instant) {
        let Ok(connection) = self.connection(id) else { return };
        // Data that nobody will read was lost, and the peer must learn that (RFC 1122, section 4.2.2.13).
        let lost = !connection.read_shutdown && connection.socket().can_recv();
        if lost || linger == Linger::Reset || connection.is_opening() {
            return self.abort(id, now);
        }
        if connection.socket().state() == smoltcp::socket::tcp::State::Closed {
            return self.table.discard(id);
        }
        let unsent = connection.socket().send_queue();
        connection.owner = Owner::Nobody { deadline: now + ORPHAN_TIMEOUT, unsent };
        connection.read_shutdown = true;
        connection.socket_mut().close();
        self.serve(id, now);
    }

    /// Resets a connection and forgets it.
    fn abort(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.table.connections.get_mut(id) else { return };
        connection.socket_mut().abort();
        match (connection.via, &mut self.nic) {
            (Via::Loopback, _) => _ = self.loopback.transmit(now, &mut connection.set),
            (Via::Nic, Some(nic)) => _ = nic.transmit(now, &mut connection.set),
            (Via::Nic, None) => {}
        }
        self.table.discard(id);
    }

    /// Takes the error that waits for `SO_ERROR`.
    pub fn take_error(&mut self, id: Id) -> Option<Error> {
        let connection = self.connection(id).ok()?;
        let error = connection.error.take();
        connection.publish();
        error
    }

    /// Whether the handshake is still under way, or how it ended.
    pub fn connected(&mut self, id: Id) -> Result<(), Error> {
        let connection = self.connection(id)?;
        match connection.error {
            Some(error) => {
                connection.error = None;
                connection.publish();
                Err(error)
            }
            None if connection.is_opening() => Err(Error::Already),
            None => Ok(()),
        }
    }

    /// Both ends of a connection.
    pub fn ends(&mut self, id: Id) -> Result<Tuple, Error> {
        Ok(self.connection(id)?.tuple)
    }

    /// Whether a connection has a peer now.
    pub fn has_peer(&mut self, id: Id) -> bool {
        self.connection(id).is_ok_and(|connection| {
            !connection.is_opening() && connection.socket().state() != smoltcp::socket::tcp::State::Closed
        })
    }

    /// Sends small segments at once (`true`), or waits for acknowledgements of earlier ones to send fewer (`false`).
    pub fn set_nodelay(&mut self, id: Id, nodelay: bool, now: Instant) -> Result<(), Error> {
        self.connection(id)?.socket_mut().set_nagle_enabled(!nodelay);
        self.serve(id, now);
        Ok(())
    }

    /// Asks an idle peer for signs of life, or does not.
    pub fn set_keep_alive(&mut self, id: Id, on: bool, now: Instant) -> Result<(), Error> {
        self.connection(id)?.set_keep_alive(on);
        self.serve(id, now);
        Ok(())
    }

    /// Sets the time to live of outgoing packets, 1 to 255.
    pub fn set_hop_limit(&mut self, id: Id, limit: u8) -> Result<(), Error> {
        self.connection(id)?.socket_mut().set_hop_limit(Some(limit.max(1)));
        Ok(())
    }

    /// The number of connections of any kind.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.table.connections.len()
    }

    /// Closes every connection of the program as its end does, so that what it has sent still arrives.
    pub fn close_all(&mut self, now: Instant) {
        let listeners: Vec<Id> = self.table.listeners.iter().map(|(id, _)| id).collect();
        for listener in listeners {
            self.unlisten(listener, now);
        }
        let owned = |connection: &Connection<S>| connection.owner == Owner::Program;
        let ids: Vec<Id> = self.table.connections.iter().filter(|(_, c)| owned(c)).map(|(id, _)| id).collect();
        for id in ids {
            self.close(id, Linger::Background, now);
        }
    }

    /// Whether every byte that programs have sent has arrived.
    pub fn is_drained(&self) -> bool {
        self.table.connections.iter().all(|(_, connection)| connection.is_drained())
    }

    // ---- datagrams ----

    /// Opens a UDP socket at `local`.
    pub fn bind_datagram(&mut self, local: IpListenEndpoint, signal: Arc<S>) -> Result<Id, Error> {
        let foreign =
            |address: IpAddress| !self.is_local(address) && !address.is_multicast() && !address.is_broadcast();
        if local.addr.is_some_and(foreign) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match local.port {
            0 => self.ephemeral(|stack, port| !stack.table.datagrams.is_bound(local.addr, port))?,
            port if self.table.datagrams.is_bound(local.addr, port) => return Err(Error::AddressInUse),
            port => port,
        };
        self.table.datagrams.bind(IpListenEndpoint { addr: local.addr, port }, signal)
    }

    /// Sends a datagram to `to`, or to the socket's peer.
    pub fn send_datagram(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<IpEndpoint>,
        now: Instant,
    ) -> Result<usize, Error> {
        let nic_address = self.address();
        let via = |address: IpAddress| {
            let own = nic_address.is_some_and(|own| address == IpAddress::Ipv4(own));
            if own || super::frame::is_loopback(address) { Via::Loopback } else { Via::Nic }
        };
        let to = to.or(self.table.datagrams.peer(id).ok()).ok_or(Error::DestinationRequired)?;
        if via(to.addr) == Via::Nic && nic_address.is_none() {
            return Err(Error::Unreachable);
        }
        let result = self.table.datagrams.send(id, via, bytes, Some(to));
        self.table.datagrams.serve(&mut self.nic, &mut self.loopback, now);
        result
    }

    /// The UDP sockets, for what concerns neither links nor time.
    pub fn datagrams(&mut self) -> &mut super::udp::Datagrams<S> {
        &mut self.table.datagrams
    }
}
