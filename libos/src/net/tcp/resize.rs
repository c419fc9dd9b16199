//! Other buffers for a connection that is up: large ones while it carries much, the least while it rests.
//!
//! smoltcp's sockets keep the buffers that they were made with. So another socket is made, and led through a handshake
//! with a peer that is played here and has the real one's numbers; it goes on where the old one was. Only its own
//! numbers cannot be chosen, and differ from those that the peer knows: [`Wire`] translates them in every frame. This
//! needs a moment in which nothing is on its way from here and nothing came out of order.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::{
    HardwareAddress, IpCidr, IpProtocol, IpRepr, IpVersion, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::engine::Engine;
use super::segment::Peer;
use super::wire::Wire;
use crate::net::frame::{Tuple, bare_segment};
use crate::net::link::inject;

/// More than this is not carried over from one receive buffer to the next.
pub const MOST_UNREAD: usize = 16 * 1024;

/// The most bytes in one segment of the peer that is played.
const MOST_SAID: usize = 32 * 1024;

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub tuple: Tuple,
    pub peer: Peer,
    /// What is expected from the peer next.
    pub expected: TcpSeqNumber,
    /// The number after all that was sent, and that has all been acknowledged.
    pub sent: TcpSeqNumber,
}

/// Where sockets are led through their second handshake.
pub struct Nursery {
    interface: Interface,
}

impl Nursery {
    pub fn new() -> Self {
        let interface = Interface::new(Config::new(HardwareAddress::Ip), &mut Silent::default(), Instant::ZERO);
        Self { interface }
    }

    /// Makes `socket`, which is new, go on where another one stands, which had these bytes unread. Returns it with the
    /// translation of its numbers.
    pub fn raise(
        &mut self,
        socket: Socket<'static>,
        wire: Wire,
        standing: &Standing,
        unread: &[u8],
        now: Instant,
    ) -> Option<(Engine, Wire)> {
        let Standing { tuple, peer, expected, sent } = *standing;
        let prefix_len = if tuple.local.addr.version() == IpVersion::Ipv4 { 32 } else { 128 };
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            let _ = addresses.push(IpCidr::new(tuple.local.addr, prefix_len));
        });
        let mut engine = Engine::of(socket)?;
        engine.socket_mut()?.listen(tuple.local).ok()?;
        let Engine::Smoltcp(set, handle) = &mut engine else { return None };

        let first = expected - unread.len();
        let syn = TcpRepr {
            control: TcpControl::Syn,
            seq_number: first - 1,
            ack_number: None,
            window_scale: peer.scale(),
            max_seg_size: peer.mss,
            sack_permitted: peer.sack,
            ..from_peer(tuple, first, sent, peer.window)
        };
        self.say(set, tuple, &syn, now)?;
        let mut answer = Silent::default();
        self.interface.poll_egress(now, &mut answer, set);
        let begun = answer.sequence_number(tuple)?;
        let own = begun + 1;
        self.say(set, tuple, &from_peer(tuple, first, own, peer.window), now)?;
        for (index, payload) in unread.chunks(MOST_SAID).enumerate() {
            let number = first + index * MOST_SAID;
            self.say(set, tuple, &TcpRepr { payload, ..from_peer(tuple, number, own, peer.window) }, now)?;
        }
        let socket = set.get::<Socket<'_>>(*handle);
        let stands = socket.state() == State::Established && socket.recv_queue() == unread.len();
        // Where the peer does not scale windows, nobody does (RFC 7323, section 2.2).
        let (told, does) = peer.scale().map_or((0, 0), |_| (wire.told, scale_of(socket.recv_capacity())));
        let wire = Wire { shift: sent.0.wrapping_sub(own.0), told, does };
        stands.then_some((engine, wire))
    }

    /// Has the socket that was raised last send what it has to send, so that it counts as sent, and to nobody.
    pub fn silence(&mut self, engine: &mut Engine, now: Instant) {
        let Some(set) = engine.set_mut() else { return };
        while self.interface.poll_egress(now, &mut Silent::default(), set) == PollResult::SocketStateChanged {}
    }

    /// Gives the socket a segment from its peer.
    fn say(&mut self, set: &mut SocketSet<'static>, tuple: Tuple, segment: &TcpRepr<'_>, now: Instant) -> Option<()> {
        let len = segment.header_len() + segment.payload.len();
        let ip = IpRepr::new(tuple.remote.addr, tuple.local.addr, IpProtocol::Tcp, len, 64);
        let mut packet = Vec::new();
        packet.try_reserve_exact(ip.header_len() + len).ok()?;
        packet.resize(ip.header_len() + len, 0);
        let none = ChecksumCapabilities::ignored();
        ip.emit(&mut packet[..], &none);
        let into = &mut TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        segment.emit(into, &tuple.remote.addr, &tuple.local.addr, &none);
        inject(&mut self.interface, now, &packet, None::<Kept<'_>>, set);
        Some(())
    }
}

/// By how many bits smoltcp shifts the windows of a buffer of this size.
fn scale_of(capacity: usize) -> u8 {
    (usize::BITS - capacity.leading_zeros()).saturating_sub(16) as u8
}

fn from_peer(tuple: Tuple, number: TcpSeqNumber, acknowledged: TcpSeqNumber, window_len: u16) -> TcpRepr<'static> {
    let ports = (tuple.remote.port, tuple.local.port);
    bare_segment(ports, TcpControl::None, (number, Some(acknowledged)), window_len)
}

/// A device that keeps the last packet and sends nothing.
#[derive(Default)]
struct Silent {
    packet: Vec<u8>,
}

impl Silent {
    /// The number of the segment in the packet.
    fn sequence_number(&self, tuple: Tuple) -> Option<TcpSeqNumber> {
        let header = if tuple.local.addr.version() == IpVersion::Ipv4 { 20 } else { 40 };
        Some(TcpPacket::new_checked(self.packet.get(header..)?).ok()?.seq_number())
    }
}

struct Never;

impl RxToken for Never {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&[])
    }
}

struct Kept<'a>(&'a mut Silent);

impl TxToken for Kept<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.packet = vec![0; len];
        f(&mut self.0.packet)
    }
}

impl Device for Silent {
    type RxToken<'a> = Never;
    type TxToken<'a> = Kept<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Never, Kept<'_>)> {
        None
    }

    fn transmit(&mut self, _now: Instant) -> Option<Kept<'_>> {
        Some(Kept(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}
