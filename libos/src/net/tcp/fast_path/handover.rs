//! From smoltcp to the fast path and back.

use alloc::boxed::Box;

use smoltcp::phy::{Device, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{ETHERNET_HEADER_LEN, TCP_HEADER_LEN};

use super::{Acknowledgement, FastPath};
use crate::io::Signal;
use crate::mm::{CALL_ROOM, has_room};
use crate::net::link::Link;
use crate::net::tcp::connection::{Connection, LEAST_BUFFER, Owner, buffer, configure, pair};
use crate::net::tcp::engine::Engine;
use crate::net::tcp::resize::{Nursery, Standing};
use crate::net::tcp::timers::ACK_DELAY;

/// A connection has the fast path after so many segments of which none was odd: many have no more than a few segments,
/// and where something was lost, more will be.
pub const CALM: u32 = 16;
const CALM_AGAIN: u32 = 64;
/// Segments that may be under way before the first acknowledgement (RFC 6928).
const INITIAL_WINDOW: usize = 10;

/// What has become of that which is under way when the fast path is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// It counts as sent.
    UnderWay,
    /// It is to be sent again.
    Lost,
}

impl<S: Signal> Connection<S> {
    /// Has the fast path run this connection over `link`, if it is calm and nothing is under way to the peer.
    pub fn enter_fast_path<D: Device>(&mut self, link: &Link<D>, now: Instant) {
        if self.calm_in == 0 && self.owner == Owner::Program && link.medium == Medium::Ethernet {
            let _ = self.try_fast_path(link.ip_mtu(), now);
        }
    }

    fn try_fast_path(&mut self, mtu: usize, now: Instant) -> Option<()> {
        let Standing { tuple, peer, expected, sent } = self.standing()?;
        let headers = self.sent.headers()?;
        let told = self.sent.told()?;
        let mut received = SocketBuffer::new(buffer(self.engine.recv_capacity())?);
        let buffered = SocketBuffer::new(buffer(self.engine.send_capacity())?);
        // For the box.
        if !has_room(CALL_ROOM) {
            return None;
        }
        if peer.window == 0 || self.error.is_some() {
            return None;
        }
        let most = mtu.checked_sub(headers.len() - ETHERNET_HEADER_LEN + TCP_HEADER_LEN)?;
        let segment_len = most.min(peer.segment_len());
        let socket = self.engine.socket_mut()?;
        while let Ok(1..) = socket.recv(|bytes| (received.enqueue_slice(bytes), bytes.len())) {}
        let acknowledgement = match told.0 == expected {
            true => Acknowledgement::None,
            false => Acknowledgement::Delayed(now + ACK_DELAY),
        };
        let (nagle, hop_limit) = (socket.nagle_enabled(), socket.hop_limit());
        let fast = FastPath {
            tuple,
            peer,
            received,
            sent: buffered,
            headers,
            unacknowledged: sent,
            next: sent,
            window: usize::from(peer.window) << peer.scale().unwrap_or(0),
            expected,
            told,
            scale: self.sent.wire.scale(),
            segment_len,
            congestion_window: INITIAL_WINDOW * segment_len,
            nagle,
            acknowledgement,
            retransmit_at: None,
            duplicates: 0,
            keep_alive: self.keep_alive,
            hop_limit,
            heard: now,
            active: now,
        };
        self.engine = Engine::Fast(Box::new(fast));
        Some(())
    }

    /// Has smoltcp run this connection from now on. `None`: there is no memory for it now.
    pub fn leave_fast_path(&mut self, nursery: &mut Nursery, flight: Flight, now: Instant) -> Option<()> {
        let Engine::Fast(fast) = &mut self.engine else { return Some(()) };
        let capacities = (fast.received.capacity(), fast.sent.capacity());
        let needed = (fast.received.len().max(LEAST_BUFFER), fast.sent.len().max(LEAST_BUFFER));
        let (receive, send) = pair(capacities).or_else(|| pair(needed))?;
        let (mut unread, mut pending) = pair((fast.received.len(), fast.sent.len()))?;
        // And for what leads it through its handshake.
        if !has_room(CALL_ROOM) {
            return None;
        }
        let _ = fast.received.read_allocated(0, &mut unread);
        let _ = fast.sent.read_allocated(0, &mut pending);
        // What counts as sent would be taken for the acknowledgement of all that has come: then it is sent again.
        let (under_way, unsent) = pending.split_at(match flight {
            Flight::UnderWay if fast.told.0 == fast.expected => fast.flight(),
            _ => 0,
        });
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        self.sent.went_on(fast.next, fast.told);
        self.received.went_on(fast.expected, fast.peer.window);
        socket.set_hop_limit(fast.hop_limit);
        // Until it has taken note of what is under way.
        socket.set_nagle_enabled(false);
        configure(&mut socket, self.via, self.keep_alive);
        socket.set_timeout(self.keep_alive.timeout());
        let standing =
            Standing { tuple: fast.tuple, peer: fast.peer, expected: fast.expected, sent: fast.unacknowledged };
        let (mut engine, wire) = nursery.raise(socket, self.sent.wire, &standing, &unread, now)?;
        if !under_way.is_empty() {
            engine.send_slice(under_way);
            nursery.silence(&mut engine, now);
        }
        engine.send_slice(unsent);
        engine.socket_mut()?.set_nagle_enabled(fast.nagle);
        (self.engine, self.sent.wire) = (engine, wire);
        self.calm_in = CALM_AGAIN;
        Some(())
    }
}
