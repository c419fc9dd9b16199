//! Other buffers for a connection that is up: large ones while it carries much, the least while it rests.
//!
//! smoltcp's sockets keep the buffers that they were made with. So another socket is made, and led through a handshake
//! with a peer that is played here and has the real one's numbers; it goes on where the old one was. Only its own
//! numbers cannot be chosen, and differ from those that the peer knows: [`Wire`] translates them in every frame. This
//! needs a moment in which nothing is on its way from here and nothing came out of order.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::{
    HardwareAddress, IpCidr, IpProtocol, IpRepr, IpVersion, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::fixups::{corrected, segment};
use crate::net::frame::{Tuple, bare_segment};
use crate::net::link::inject;

/// More than this is not carried over from one receive buffer to the next.
pub const MOST_UNREAD: usize = 16 * 1024;

/// How the numbers in a connection's frames differ from its socket's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// What is added to the socket's own sequence numbers.
    shift: i32,
    /// How many bits the window is shifted by: as the peer was told, and as the socket does it.
    told: u8,
    does: u8,
}

impl Wire {
    /// Our SYN has told the peer by how many bits windows are shifted.
    pub fn tell(&mut self, scale: u8) {
        (self.told, self.does) = (scale, scale);
    }

    /// Translates a segment that goes out.
    pub fn translate_out(&self, packet: &mut TcpPacket<&mut [u8]>) {
        if self.shift == 0 && self.told == self.does {
            return;
        }
        let (number, window) = (packet.seq_number(), packet.window_len());
        let number_there = TcpSeqNumber(number.0.wrapping_add(self.shift));
        let window_there = u16::try_from(usize::from(window) << self.does >> self.told).unwrap_or(u16::MAX);
        // A device that completes checksums does not care what is there, and 0 may be the right one.
        let sum = corrected(packet.checksum(), number.0, number_there.0);
        packet.set_checksum(corrected(sum, window.into(), window_there.into()));
        packet.set_seq_number(number_there);
        packet.set_window_len(window_there);
    }

    /// An Ethernet frame that came in, as the socket understands it; empty: as it is. `None` when memory is short.
    pub fn translate_in(&self, original: &[u8]) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let Some(at) = segment(original).filter(|_| self.shift != 0) else { return Some(frame) };
        frame.try_reserve_exact(original.len()).ok()?;
        frame.extend_from_slice(original);
        let mut packet = TcpPacket::new_checked(&mut frame[at..]).ok()?;
        if packet.ack() {
            let number = packet.ack_number().0;
            let here = number.wrapping_sub(self.shift);
            packet.set_checksum(corrected(packet.checksum(), number, here));
            packet.set_ack_number(TcpSeqNumber(here));
        }
        Some(frame)
    }
}

/// What the peer has said of itself in its SYN, and its last window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    mss: Option<u16>,
    scale: Option<u8>,
    sack: bool,
    pub window: u16,
}

impl Peer {
    /// By how many bits it shifts windows, if at all.
    pub fn scale(&self) -> Option<u8> {
        self.scale
    }

    /// Reads a SYN.
    pub fn of(packet: &TcpPacket<&[u8]>) -> Self {
        let mut peer = Self { window: packet.window_len(), ..Self::default() };
        let mut options = packet.options();
        while let Ok((rest, option)) = TcpOption::parse(options)
            && !options.is_empty()
        {
            match option {
                TcpOption::MaxSegmentSize(size) => peer.mss = Some(size),
                TcpOption::WindowScale(scale) => peer.scale = Some(scale.min(14)),
                TcpOption::SackPermitted => peer.sack = true,
                TcpOption::EndOfList => break,
                _ => {}
            }
            options = rest;
        }
        peer
    }
}

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

/// A socket in a set of its own.
pub type Housed = (SocketSet<'static>, SocketHandle);

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
    ) -> Option<(Housed, Wire)> {
        let Standing { tuple, peer, expected, sent } = *standing;
        let prefix_len = if tuple.local.addr.version() == IpVersion::Ipv4 { 32 } else { 128 };
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            let _ = addresses.push(IpCidr::new(tuple.local.addr, prefix_len));
        });
        let mut storage = Vec::new();
        storage.try_reserve_exact(1).ok()?;
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        set.get_mut::<Socket<'_>>(handle).listen(tuple.local).ok()?;

        let first = expected - unread.len();
        let syn = TcpRepr {
            control: TcpControl::Syn,
            seq_number: first - 1,
            ack_number: None,
            window_scale: peer.scale,
            max_seg_size: peer.mss,
            sack_permitted: peer.sack,
            ..from_peer(tuple, first, sent, peer.window)
        };
        self.say(&mut set, tuple, &syn, now)?;
        let mut answer = Silent::default();
        self.interface.poll_egress(now, &mut answer, &mut set);
        let begun = answer.sequence_number(tuple)?;
        let own = begun + 1;
        self.say(&mut set, tuple, &from_peer(tuple, first, own, peer.window), now)?;
        if !unread.is_empty() {
            self.say(&mut set, tuple, &TcpRepr { payload: unread, ..from_peer(tuple, first, own, peer.window) }, now)?;
        }
        let socket = set.get::<Socket<'_>>(handle);
        let stands = socket.state() == State::Established && socket.recv_queue() == unread.len();
        // Where the peer does not scale windows, nobody does (RFC 7323, section 2.2).
        let (told, does) = peer.scale.map_or((0, 0), |_| (wire.told, scale_of(socket.recv_capacity())));
        let wire = Wire { shift: sent.0.wrapping_sub(own.0), told, does };
        stands.then_some(((set, handle), wire))
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

#[cfg(test)]
mod tests {
    use smoltcp::wire::IpAddress;

    use super::*;

    /// One segment in 65,536 has it.
    #[test]
    fn a_segment_whose_checksum_is_zero_is_translated_with_a_right_one() {
        let (local, remote) = (IpAddress::v4(10, 0, 2, 15), IpAddress::v4(10, 0, 2, 2));
        let mut zeros = 0;
        for acknowledged in 0..0x1_0000 {
            let mut bytes = [0; 20];
            let mut packet = TcpPacket::new_unchecked(&mut bytes[..]);
            packet.set_header_len(20);
            packet.set_window_len(100);
            packet.set_ack(true);
            packet.set_seq_number(TcpSeqNumber(1_000_000));
            packet.set_ack_number(TcpSeqNumber(acknowledged));
            packet.fill_checksum(&local, &remote);
            if packet.checksum() == 0 {
                zeros += 1;
                Wire { shift: -77_777_777, told: 0, does: 1 }.translate_out(&mut packet);
                assert!(packet.verify_checksum(&local, &remote), "{acknowledged}");
            }
        }
        assert!(zeros > 0);
    }
}
