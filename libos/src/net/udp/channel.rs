//! The smoltcp socket that a UDP socket has on one link. It is made when the first datagram comes or goes there: many
//! sockets never use both links, and some use none.

use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, RecvError, SendError, Socket, UdpMetadata};
use smoltcp::time::Instant;
use smoltcp::wire::IpListenEndpoint;

use crate::mm::{CALL_ROOM, has_room};
use crate::net::link::{Link, Outcome};

/// Datagrams that can wait in each direction, and their bytes.
const PACKETS: usize = 32;
const BYTES: usize = 32 * 1024;

/// One link's part of a UDP socket.
#[derive(Default)]
pub struct Channel {
    open: Option<(SocketSet<'static>, SocketHandle)>,
    /// Datagrams that wait to be sent: smoltcp counts bytes, and a datagram may have none.
    unsent: usize,
}

/// `len` times `value`, or `None` when memory is short.
fn filled<T: Clone>(value: T, len: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(len).ok()?;
    all.resize(len, value);
    Some(all)
}

impl Channel {
    /// What an open channel's buffers take.
    pub const SIZE: usize = 2 * (BYTES + PACKETS * size_of::<PacketMetadata>());

    /// Whether there is a smoltcp socket.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Makes the smoltcp socket at `port`; `false` when memory is short. The address is not smoltcp's business: whose a
    /// datagram is has been decided before, and a source is always given.
    pub fn open(&mut self, port: u16) -> bool {
        let make = || {
            let buffer = || Some(PacketBuffer::new(filled(PacketMetadata::EMPTY, PACKETS)?, filled(0, BYTES)?));
            let (received, unsent) = (buffer()?, buffer()?);
            if !has_room(CALL_ROOM) {
                return None;
            }
            let mut socket = Socket::new(received, unsent);
            socket.bind(IpListenEndpoint::from(port)).ok()?;
            let mut storage = Vec::new();
            storage.try_reserve_exact(1).ok()?;
            let mut set = SocketSet::new(storage);
            let handle = set.add(socket);
            Some((set, handle))
        };
        self.open = self.open.take().or_else(make);
        self.is_open()
    }

    /// Gives the buffers back, if nothing is in them; whether it did.
    pub fn release(&mut self) -> bool {
        let idle = self.unsent == 0 && !self.can_recv();
        idle && self.open.take().is_some()
    }

    fn socket(&self) -> Option<&Socket<'static>> {
        self.open.as_ref().map(|(set, handle)| set.get(*handle))
    }

    fn socket_mut(&mut self) -> Option<&mut Socket<'static>> {
        self.open.as_mut().map(|(set, handle)| set.get_mut(*handle))
    }

    /// The set that received frames are given to.
    pub fn set(&mut self) -> Option<&mut SocketSet<'static>> {
        self.open.as_mut().map(|(set, _)| set)
    }

    /// Whether a datagram waits to be received.
    pub fn can_recv(&self) -> bool {
        self.socket().is_some_and(Socket::can_recv)
    }

    /// Whether there is room for a datagram to be sent.
    pub fn can_send(&self) -> bool {
        self.socket().is_none_or(Socket::can_send)
    }

    /// How many datagrams wait to be sent.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// The oldest datagram that was received.
    pub fn peek(&mut self) -> Result<(&[u8], &UdpMetadata), RecvError> {
        self.socket_mut().ok_or(RecvError::Exhausted)?.peek()
    }

    /// Forgets the oldest datagram that was received.
    pub fn drop_oldest(&mut self) {
        if let Some(socket) = self.socket_mut() {
            let _ = socket.recv();
        }
    }

    /// Queues a datagram on an open channel. smoltcp keeps one limit of hops for all that waits; what waits for a
    /// neighbour beside a group's datagram is rare.
    pub fn send(&mut self, bytes: &[u8], meta: UdpMetadata, hop_limit: u8) -> Result<(), SendError> {
        let socket = self.socket_mut().ok_or(SendError::BufferFull)?;
        socket.set_hop_limit(Some(hop_limit.max(1)));
        socket.send_slice(bytes, meta)?;
        self.unsent += 1;
        Ok(())
    }

    /// Sends what waits to be sent; what stopped it.
    pub fn transmit<D: Device>(&mut self, link: &mut Link<D>, now: Instant) -> Outcome {
        let Some((set, _)) = &mut self.open else { return Outcome::Sent };
        while self.unsent > 0 {
            match link.transmit(now, set) {
                Outcome::Sent => self.unsent -= 1,
                stopped => return stopped,
            }
        }
        Outcome::Sent
    }
}
