//! The calls on streams: listening, connecting, sending, receiving, ending.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::phy::Device;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::IpEndpoint;

use super::{Linger, Shutdown, Stack};
use crate::io::Signal;
use crate::net::address::{Family, Local};
use crate::net::error::Error;
use crate::net::frame::Tuple;
use crate::net::link::Via;
use crate::net::slab::Id;
#[cfg(test)]
use crate::net::tcp::Connections;
use crate::net::tcp::connection::{Connection, ORPHAN_TIMEOUT, Owner};
use crate::net::tcp::engine::Engine;
use crate::net::tcp::fast_path::Flight;
use crate::net::tcp::settings::{BufferSizes, KeepAlive};

/// The fewest connections that a listener lets wait, whatever backlog it asks for: clients that come all at once are to
/// be served, not to be told to try again.
const MIN_BACKLOG: usize = 256;
const MAX_BACKLOG: usize = 1024;

impl<D: Device, S: Signal> Stack<D, S> {
    /// Accepts connections at `local`, of which about `backlog` may wait.
    pub fn listen(&mut self, local: Local, backlog: usize, sizes: BufferSizes, signal: Arc<S>) -> Result<Id, Error> {
        let local = self.bind_stream(local)?;
        if !self.sockets.tcp.listeners.reserve() {
            return Err(Error::NoBuffers);
        }
        Ok(self.sockets.tcp.listen(local, backlog.clamp(MIN_BACKLOG, MAX_BACKLOG), sizes, signal))
    }

    /// Where a listener listens.
    pub fn listening_at(&self, listener: Id) -> Result<Local, Error> {
        Ok(self.sockets.tcp.listeners.get(listener).ok_or(Error::Invalid)?.local)
    }

    /// Takes the oldest connection that waits at a listener.
    pub fn accept(&mut self, listener: Id) -> Result<(Id, Arc<S>, Tuple), Error> {
        let id = self.sockets.tcp.accept(listener)?;
        let connection = self.sockets.tcp.connections.get(id).ok_or(Error::Aborted)?;
        Ok((id, connection.signal.clone(), connection.tuple))
    }

    /// Closes a listener and resets the connections that nobody accepted.
    pub fn unlisten(&mut self, listener: Id, now: Instant) {
        for id in self.sockets.tcp.unlisten(listener) {
            self.abort(id, now);
        }
    }

    /// Starts a connection to `remote`.
    pub fn connect(
        &mut self,
        remote: IpEndpoint,
        local: Option<Local>,
        sizes: BufferSizes,
        signal: Arc<S>,
        now: Instant,
    ) -> Result<Id, Error> {
        if remote.port == 0 || !remote.addr.is_unicast() {
            return Err(Error::AddressNotAvailable);
        }
        if self.sockets.tcp.is_full() || !self.sockets.tcp.reserve() {
            return Err(Error::NoBuffers);
        }
        let usual = self.source_for(remote.addr)?;
        let address = match local.and_then(|local| local.address) {
            Some(own) if own.version() != remote.addr.version() => return Err(Error::AddressNotAvailable),
            Some(own) => own,
            None => usual,
        };
        let tuple_for = |port| Tuple { local: IpEndpoint::new(address, port), remote };
        let port = match local {
            Some(Local { port, .. }) if port != 0 => port,
            _ => self.ephemeral(|stack, port| {
                let free = stack.stream_place_is_free(&Local::any(Family::Dual, port));
                free && !stack.sockets.tcp.is_taken(&tuple_for(port))
            })?,
        };
        let tuple = tuple_for(port);
        if self.sockets.tcp.is_taken(&tuple) {
            return Err(Error::AddressInUse);
        }
        let via = self.via(remote.addr);
        let capacities = sizes.capacities(self.sockets.tcp.capacity(via));
        let mut connection =
            Connection::new(tuple, via, Owner::Program, signal, capacities, now).ok_or(Error::NoBuffers)?;
        connection.sizes = sizes;
        connection.expect_answer();
        let interface = match (via, &mut self.nic) {
            (Via::Loopback, _) => &mut self.loopback.interface,
            (Via::Nic, Some(nic)) => &mut nic.interface,
            (Via::Nic, None) => return Err(Error::Unreachable),
        };
        let socket = connection.engine.socket_mut().ok_or(Error::NoBuffers)?;
        let started = socket.connect(interface.context(), tuple.remote, tuple.local);
        started.map_err(|_| Error::AddressNotAvailable)?;
        connection.seen = connection.engine.state();
        connection.publish();
        let id = self.sockets.tcp.insert(connection);
        self.serve(id, now);
        Ok(id)
    }

    fn connection(&mut self, id: Id) -> Result<&mut Connection<S>, Error> {
        self.sockets.tcp.connections.get_mut(id).map(|connection| &mut **connection).ok_or(Error::NotConnected)
    }

    /// A connection that smoltcp runs from now on, until it is calm again.
    fn whole(&mut self, id: Id, now: Instant) -> Result<&mut Connection<S>, Error> {
        let connection = self.sockets.tcp.connections.get_mut(id).ok_or(Error::NotConnected)?;
        if let (Engine::Fast(fast), Some(nic)) = (&mut connection.engine, &mut self.nic)
            && fast.owes()
            && let Some(frame) = nic.device.transmit(now)
        {
            fast.acknowledge(frame, now);
        }
        if self.sockets.tcp.leave_fast_path(id, Flight::UnderWay, now) {
            self.connection(id)
        } else {
            Err(Error::NoBuffers)
        }
    }

    /// Its socket.
    fn socket(&mut self, id: Id, now: Instant) -> Result<&mut Socket<'static>, Error> {
        self.whole(id, now)?.engine.socket_mut().ok_or(Error::NotConnected)
    }

    /// Sends what one connection has to send.
    fn serve(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.sockets.tcp.connections.get(id) else { return };
        let more = match (connection.via, &mut self.nic) {
            (Via::Loopback, _) => self.sockets.tcp.transmit(id, &mut self.loopback, now),
            (Via::Nic, Some(nic)) => self.sockets.tcp.transmit(id, nic, now),
            (Via::Nic, None) => false,
        };
        if more {
            self.sockets.tcp.enqueue(id);
        }
    }

    /// Queues as much of `slices` as there is room for, and sends what may be sent. Returns the number of bytes queued.
    pub fn send<'b>(&mut self, id: Id, slices: impl Iterator<Item = &'b [u8]>, now: Instant) -> Result<usize, Error> {
        let connection = self.connection(id)?;
        if let Some(error) = connection.error.take() {
            connection.publish();
            return Err(error);
        }
        if connection.is_opening() {
            return Err(Error::WouldBlock);
        }
        if connection.write_shutdown || !connection.engine.may_send() {
            return Err(Error::BrokenPipe);
        }
        let mut slices = slices.peekable();
        self.sockets.tcp.grow(id, 0, slices.peek().map_or(0, |slice| slice.len()), now);
        let connection = self.connection(id)?;
        if connection.holds_back() {
            return Err(Error::WouldBlock);
        }
        let (mut sent, mut asked) = (0, 0);
        for slice in slices {
            asked += slice.len();
            let queued = connection.engine.send_slice(slice);
            sent += queued;
            if queued < slice.len() {
                break;
            }
        }
        connection.leaves_over(sent < asked);
        if sent == 0 && asked > 0 {
            return Err(Error::WouldBlock);
        }
        self.serve(id, now);
        Ok(sent)
    }

    /// Moves received bytes into `slices`, or copies them if `peek`. Zero is the end of the data.
    pub fn receive<'b>(
        &mut self,
        id: Id,
        slices: impl Iterator<Item = &'b mut [u8]>,
        peek: bool,
        now: Instant,
    ) -> Result<usize, Error> {
        let connection = self.connection(id)?;
        if connection.read_shutdown {
            return Ok(0);
        }
        let queued = connection.engine.recv_queue();
        let (mut received, mut asked) = (0, 0);
        for slice in slices {
            asked += slice.len();
            let len = if peek {
                // Only the first slice: what smoltcp shows is not taken away, so a second look would show the same.
                connection.engine.peek_slice(slice)
            } else {
                connection.engine.recv_slice(slice)
            };
            received += len;
            if len < slice.len() || peek {
                break;
            }
        }
        if received > 0 || asked == 0 {
            // A nearly full buffer held the peer back; tell it about the room. Otherwise the next segment does.
            let news = !peek && 4 * queued >= connection.engine.recv_capacity();
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
    pub fn shutdown(&mut self, id: Id, halves: Shutdown, now: Instant) -> Result<(), Error> {
        let connection = self.connection(id)?;
        if connection.is_opening() || connection.is_over() {
            return Err(Error::NotConnected);
        }
        let connection = self.whole(id, now)?;
        connection.read_shutdown |= halves.read;
        if halves.write && !connection.write_shutdown {
            connection.write_shutdown = true;
            connection.engine.close();
        }
        self.serve(id, now);
        Ok(())
    }

    /// Gives up a connection. Unsent data is sent in the background, unless `linger` or unread data says to reset it.
    pub fn close(&mut self, id: Id, linger: Linger, now: Instant) {
        let Ok(connection) = self.connection(id) else { return };
        // Data that nobody will read was lost, and the peer must learn that (RFC 1122, section 4.2.2.13).
        let lost = !connection.read_shutdown && connection.engine.can_recv();
        if lost || linger == Linger::Reset || connection.is_opening() {
            return self.abort(id, now);
        }
        if connection.engine.state() == State::Closed {
            return self.sockets.tcp.discard(id);
        }
        // Without memory for smoltcp's socket there is no other way.
        let Ok(connection) = self.whole(id, now) else { return self.sockets.tcp.discard(id) };
        let unsent = connection.engine.send_queue();
        connection.owner = Owner::Nobody { deadline: now + ORPHAN_TIMEOUT, unsent };
        connection.read_shutdown = true;
        connection.engine.close();
        self.serve(id, now);
    }

    /// Resets a connection and forgets it.
    fn abort(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.sockets.tcp.connections.get_mut(id) else { return };
        connection.engine.abort();
        match (&mut connection.engine, connection.via, &mut self.nic) {
            (Engine::Fast(fast), _, Some(nic)) => fast.reset(&mut nic.device, now),
            (Engine::Smoltcp(set, _), Via::Loopback, _) => _ = self.loopback.transmit(now, set),
            (Engine::Smoltcp(set, _), Via::Nic, Some(nic)) => {
                let _ = nic.transmit_observed(now, set, Some(&mut connection.sent));
            }
            (_, _, None) => {}
        }
        self.sockets.tcp.discard(id);
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
        self.connection(id)
            .is_ok_and(|connection| !connection.is_opening() && connection.engine.state() != State::Closed)
    }

    /// Sends small segments at once (`true`), or waits for acknowledgements of earlier ones to send fewer (`false`).
    pub fn set_nodelay(&mut self, id: Id, nodelay: bool, now: Instant) -> Result<(), Error> {
        self.socket(id, now)?.set_nagle_enabled(!nodelay);
        self.serve(id, now);
        Ok(())
    }

    /// Asks an idle peer for signs of life, or does not.
    pub fn set_keep_alive(&mut self, id: Id, keep_alive: KeepAlive, now: Instant) -> Result<(), Error> {
        self.whole(id, now)?.set_keep_alive(keep_alive);
        self.serve(id, now);
        Ok(())
    }

    /// Sets the time to live of outgoing packets, 1 to 255.
    pub fn set_hop_limit(&mut self, id: Id, limit: u8, now: Instant) -> Result<(), Error> {
        self.socket(id, now)?.set_hop_limit(Some(limit.max(1)));
        Ok(())
    }

    /// Bytes of buffer for receiving and for sending.
    pub fn capacities(&mut self, id: Id) -> Result<(usize, usize), Error> {
        let socket = &self.connection(id)?.engine;
        Ok((socket.recv_capacity(), socket.send_capacity()))
    }

    /// Whether all that was sent on a connection has arrived, and its end, too.
    pub fn is_delivered(&self, id: Id) -> bool {
        self.sockets.tcp.connections.get(id).is_none_or(|connection| connection.is_drained())
    }

    /// How often a connection was looked at since the last question.
    #[cfg(test)]
    pub fn reset_touched(&mut self) -> usize {
        core::mem::take(&mut self.sockets.tcp.touched)
    }

    /// All connections.
    #[cfg(test)]
    pub fn tcp(&mut self) -> &mut Connections<S> {
        &mut self.sockets.tcp
    }

    /// The number of connections of any kind.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.sockets.tcp.connections.len()
    }

    /// Closes every connection of the program as its end does, so that what it has sent still arrives.
    pub fn close_all(&mut self, now: Instant) {
        let listeners: Vec<Id> = self.sockets.tcp.listeners.iter().map(|(id, _)| id).collect();
        for listener in listeners {
            self.unlisten(listener, now);
        }
        let owned = |connection: &Connection<S>| connection.owner == Owner::Program;
        let ids: Vec<Id> = self.sockets.tcp.connections.iter().filter(|(_, c)| owned(c)).map(|(id, _)| id).collect();
        for id in ids {
            self.close(id, Linger::Background, now);
        }
    }

    /// Whether every byte that programs have sent has arrived.
    #[cfg(test)]
    pub fn is_drained(&self) -> bool {
        self.undelivered().0 == 0
    }

    /// How many connections have something to deliver, their ends included, and how much it is: bytes, and 1 for an
    /// end. A datagram that waits to be sent counts as 1 each.
    pub fn undelivered(&self) -> (usize, usize) {
        let open = self.sockets.tcp.connections.iter().filter(|(_, connection)| !connection.is_drained());
        let waiting = self.sockets.udp.unsent();
        open.fold((waiting, waiting), |(count, left), (_, connection)| {
            (count + 1, left + connection.engine.send_queue() + 1)
        })
    }
}
