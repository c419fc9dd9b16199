//! Which socket a received frame is for, read from its headers before the stack sees it.
//!
//! smoltcp looks at every socket of a set for every frame. Here each connection has a set of its own, so the frame's
//! addresses choose the set, and a frame costs the same with one connection as with a thousand.

use core::cmp::Ordering;

use smoltcp::phy::Medium;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Message,
    Icmpv6Packet, IpAddress, IpEndpoint, IpProtocol, Ipv4Address, Ipv4Packet, Ipv6Address, Ipv6Packet, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
};

use super::error::Error;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// This machine's end.
    pub local: IpEndpoint,
    /// The peer's end.
    pub remote: IpEndpoint,
}

/// The peers' ports come first: they tell nearly all connections apart, and are compared by one instruction.
impl Ord for Tuple {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let ports = |tuple: &Self| u32::from(tuple.remote.port) << 16 | u32::from(tuple.local.port);
        match ports(self).cmp(&ports(other)) {
            Ordering::Equal => compare_addresses(self, other),
            order => order,
        }
    }
}

/// Apart, so that the comparison of ports is small enough to be in line.
#[inline(never)]
fn compare_addresses(one: &Tuple, other: &Tuple) -> Ordering {
    let addresses = |tuple: &Tuple| (tuple.remote.addr, tuple.local.addr);
    addresses(one).cmp(&addresses(other))
}

impl PartialOrd for Tuple {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'f> {
    /// Its receiver and sender.
    pub tuple: Tuple,
    /// It is the first segment of a connection: SYN without ACK or RST.
    pub opens: bool,
    /// The whole segment, and nothing of what pads the frame.
    pub bytes: &'f [u8],
}

impl<'f> Segment<'f> {
    /// The segment, to be read.
    pub fn packet(&self) -> TcpPacket<&'f [u8]> {
        TcpPacket::new_unchecked(self.bytes)
    }
}

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'f> {
    /// A TCP segment.
    Segment(Segment<'f>),
    /// A UDP datagram to this address.
    Datagram(IpEndpoint),
    /// A packet of this machine's did not arrive (ICMP).
    Undelivered {
        /// The protocol of that packet.
        protocol: IpProtocol,
        /// Its sender and receiver.
        tuple: Tuple,
        /// Why.
        reason: Error,
    },
    /// A router advertisement.
    Advertisement {
        /// The router's link-local address.
        router: Ipv6Address,
        /// The ICMPv6 message.
        message: &'f [u8],
    },
    /// Address resolution: ARP or neighbour discovery.
    Resolution,
    /// Something that no socket wants, but smoltcp may answer (an ICMP echo).
    Other,
    /// Malformed, a fragment, for another machine, or with an impossible source: to be ignored.
    Malformed,
}

/// Reads the headers of `frame`. `mac` is this machine's address on an Ethernet.
pub fn classify(medium: Medium, mac: EthernetAddress, frame: &[u8]) -> Payload<'_> {
    match medium {
        Medium::Ethernet => {
            let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Payload::Malformed };
            let to = ethernet.dst_addr();
            if to != mac && !to.is_broadcast() && !to.is_multicast() {
                return Payload::Malformed;
            }
            let payload = match ethernet.ethertype() {
                EthernetProtocol::Arp => return Payload::Resolution,
                EthernetProtocol::Ipv4 => classify_ipv4(ethernet.payload(), to == mac, true),
                EthernetProtocol::Ipv6 => classify_ipv6(ethernet.payload(), to == mac, true),
                _ => return Payload::Malformed,
            };
            match payload {
                // An address of this machine's own loopback network cannot come from a wire.
                Payload::Segment(Segment { tuple, .. }) if is_own(tuple.remote.addr) || is_own(tuple.local.addr) => {
                    Payload::Malformed
                }
                Payload::Datagram(to) if is_own(to.addr) => Payload::Malformed,
                payload => payload,
            }
        }
        Medium::Ip => match version(frame) {
            4 => classify_ipv4(frame, true, false),
            6 => classify_ipv6(frame, true, false),
            _ => Payload::Malformed,
        },
    }
}

/// The version of an IP packet; 0 if there is none.
fn version(packet: &[u8]) -> u8 {
    packet.first().map_or(0, |first| first >> 4)
}

/// Whether `address` is in 127.0.0.0/8 or ::1.
pub fn is_loopback(address: IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) => address.is_loopback(),
        IpAddress::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether `address` has a meaning only within a machine: its loopback, or a mapped IPv4 address.
fn is_own(address: IpAddress) -> bool {
    is_loopback(address) || matches!(address, IpAddress::Ipv6(address) if address.to_ipv4_mapped().is_some())
}

fn classify_ipv4(packet: &[u8], unicast: bool, verify: bool) -> Payload<'_> {
    let Ok(packet) = Ipv4Packet::new_checked(packet) else { return Payload::Malformed };
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return Payload::Malformed;
    }
    let (from, to) = (IpAddress::Ipv4(packet.src_addr()), IpAddress::Ipv4(packet.dst_addr()));
    if packet.next_header() != IpProtocol::Icmp {
        return classify_transport(packet.next_header(), from, to, packet.payload(), unicast);
    }
    let Ok(icmp) = Icmpv4Packet::new_checked(packet.payload()) else { return Payload::Malformed };
    if icmp.msg_type() != Icmpv4Message::DstUnreachable {
        return Payload::Other;
    }
    // RFC 792: destination unreachable. What a fragment would need (code 4) is nothing that a socket can mend.
    let reason = match icmp.msg_code() {
        2 | 3 => Error::Refused,
        4 => return Payload::Malformed,
        _ => Error::HostUnreachable,
    };
    if verify && !icmp.verify_checksum() {
        return Payload::Malformed;
    }
    undelivered_ipv4(packet.payload().get(8..).unwrap_or_default(), reason).unwrap_or(Payload::Malformed)
}

fn classify_ipv6(bytes: &[u8], unicast: bool, verify: bool) -> Payload<'_> {
    let Ok(packet) = Ipv6Packet::new_checked(bytes) else { return Payload::Malformed };
    if packet.version() != 6 {
        return Payload::Malformed;
    }
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if packet.next_header() != IpProtocol::Icmpv6 {
        return classify_transport(packet.next_header(), from.into(), to.into(), packet.payload(), unicast);
    }
    let Ok(icmp) = Icmpv6Packet::new_checked(packet.payload()) else { return Payload::Malformed };
    let right = || !verify || icmp.verify_checksum(&from, &to);
    match icmp.msg_type() {
        // RFC 4443, section 3.1.
        Icmpv6Message::DstUnreachable => {
            let reason = if icmp.msg_code() == 4 { Error::Refused } else { Error::HostUnreachable };
            let original = packet.payload().get(8..).unwrap_or_default();
            right().then(|| undelivered_ipv6(original, reason)).flatten().unwrap_or(Payload::Malformed)
        }
        // RFC 4861, section 6.1.2: only a router on this link can have sent it.
        Icmpv6Message::RouterAdvert => {
            if packet.hop_limit() == 255 && from.is_unicast_link_local() && icmp.msg_code() == 0 && right() {
                Payload::Advertisement { router: from, message: packet.payload() }
            } else {
                Payload::Malformed
            }
        }
        Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert => Payload::Resolution,
        _ => Payload::Other,
    }
}

fn classify_transport(
    protocol: IpProtocol,
    from: IpAddress,
    to: IpAddress,
    payload: &[u8],
    unicast: bool,
) -> Payload<'_> {
    match protocol {
        IpProtocol::Tcp => {
            let Ok(segment) = TcpPacket::new_checked(payload) else { return Payload::Malformed };
            if !unicast || !from.is_unicast() || !to.is_unicast() || segment.src_port() == 0 || segment.dst_port() == 0
            {
                return Payload::Malformed;
            }
            Payload::Segment(Segment {
                tuple: Tuple {
                    local: IpEndpoint::new(to, segment.dst_port()),
                    remote: IpEndpoint::new(from, segment.src_port()),
                },
                opens: segment.syn() && !segment.ack() && !segment.rst() && !segment.fin(),
                bytes: payload,
            })
        }
        IpProtocol::Udp => match UdpPacket::new_checked(payload) {
            Ok(datagram) => Payload::Datagram(IpEndpoint::new(to, datagram.dst_port())),
            Err(_) => Payload::Malformed,
        },
        _ => Payload::Other,
    }
}

/// The beginning of an IPv4 packet that this machine has sent, as an error message quotes it.
fn undelivered_ipv4(packet: &[u8], reason: Error) -> Option<Payload<'static>> {
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let header = usize::from(fixed[0] & 15) * 4;
    let address = |at: usize| Some(IpAddress::Ipv4(Ipv4Address::from(*packet.get(at..)?.first_chunk::<4>()?)));
    (version(packet) == 4 && header >= 20).then_some(())?;
    undelivered(fixed[9], address(12)?, address(16)?, packet.get(header..)?, reason)
}

/// The same for IPv6.
fn undelivered_ipv6(packet: &[u8], reason: Error) -> Option<Payload<'static>> {
    let address = |at: usize| Some(IpAddress::Ipv6(Ipv6Address::from(*packet.get(at..)?.first_chunk::<16>()?)));
    (version(packet) == 6).then_some(())?;
    undelivered(*packet.get(6)?, address(8)?, address(24)?, packet.get(40..)?, reason)
}

fn undelivered(
    protocol: u8,
    from: IpAddress,
    to: IpAddress,
    payload: &[u8],
    reason: Error,
) -> Option<Payload<'static>> {
    let &[a, b, c, d] = payload.first_chunk()?;
    let protocol = IpProtocol::from(protocol);
    matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp).then(|| Payload::Undelivered {
        protocol,
        tuple: Tuple {
            local: IpEndpoint::new(from, u16::from_be_bytes([a, b])),
            remote: IpEndpoint::new(to, u16::from_be_bytes([c, d])),
        },
        reason,
    })
}

/// Whether the IP checksum of a segment is right, and with `verify` its own. `frame` has been classified as a segment.
pub fn is_intact(medium: Medium, frame: &[u8], verify: bool) -> bool {
    let packet = match medium {
        Medium::Ethernet => frame.get(ETHERNET_HEADER_LEN..).unwrap_or_default(),
        Medium::Ip => frame,
    };
    let (from, to, payload): (IpAddress, IpAddress, &[u8]) = match version(packet) {
        4 => match Ipv4Packet::new_checked(packet) {
            Ok(packet) if packet.verify_checksum() => {
                (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
            }
            _ => return false,
        },
        6 => match Ipv6Packet::new_checked(packet) {
            Ok(packet) => (packet.src_addr().into(), packet.dst_addr().into(), packet.payload()),
            Err(_) => return false,
        },
        _ => return false,
    };
    !verify || TcpPacket::new_checked(payload).is_ok_and(|segment| segment.verify_checksum(&from, &to))
}

/// A segment without options and data: from one port to the other, with its number and what it acknowledges.
pub fn bare_segment(
    (src_port, dst_port): (u16, u16),
    control: TcpControl,
    (seq_number, ack_number): (TcpSeqNumber, Option<TcpSeqNumber>),
    window_len: u16,
) -> TcpRepr<'static> {
    TcpRepr {
        src_port,
        dst_port,
        control,
        seq_number,
        ack_number,
        window_len,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr};

    use super::*;

    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    #[test]
    fn tuples_that_differ_in_any_part_are_told_apart() {
        let ends = [1, 2].into_iter().flat_map(|port| {
            let addresses =
                [IpAddress::v4(10, 0, 2, 15), IpAddress::v4(10, 0, 2, 16), IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1)];
            addresses.map(|address| IpEndpoint::new(address, port))
        });
        let ends: Vec<_> = ends.collect();
        let tuples = ends.iter().flat_map(|&local| ends.iter().map(move |&remote| Tuple { local, remote }));
        let tuples: Vec<_> = tuples.collect();
        for (at, tuple) in tuples.iter().enumerate() {
            for (other_at, other) in tuples.iter().enumerate() {
                assert_eq!(tuple.cmp(other).is_eq(), at == other_at, "{tuple:?} {other:?}");
                assert_eq!(tuple.cmp(other), other.cmp(tuple).reverse());
            }
        }
    }

    fn syn(mac: EthernetAddress, from: Ipv4Address, ack: bool) -> Vec<u8> {
        let to = Ipv4Address::new(10, 0, 2, 15);
        let numbers = (TcpSeqNumber(7), ack.then_some(TcpSeqNumber(1)));
        let tcp = bare_segment((4000, 6379), TcpControl::Syn, numbers, 1000);
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; ETHERNET_HEADER_LEN + ip.buffer_len() + tcp.buffer_len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_dst_addr(mac);
        ethernet.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet, &ChecksumCapabilities::default());
        let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
        tcp.emit(&mut segment, &from.into(), &to.into(), &ChecksumCapabilities::default());
        frame
    }

    #[test]
    fn a_syn_names_its_connection() {
        let frame = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
        let Payload::Segment(Segment { tuple, opens, bytes }) = classify(Medium::Ethernet, MAC, &frame) else {
            panic!()
        };
        assert!(opens);
        assert_eq!(bytes, &frame[ETHERNET_HEADER_LEN + 20..]);
        assert_eq!((tuple.local.port, tuple.remote.port), (6379, 4000));
        assert!(is_intact(Medium::Ethernet, &frame, true));
        let acknowledged = syn(MAC, Ipv4Address::new(10, 0, 2, 2), true);
        assert!(matches!(
            classify(Medium::Ethernet, MAC, &acknowledged),
            Payload::Segment(Segment { opens: false, .. })
        ));
    }

    #[test]
    fn a_damaged_segment_is_noticed() {
        let mut frame = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
        *frame.last_mut().unwrap() ^= 1;
        assert!(!is_intact(Medium::Ethernet, &frame, true));
    }

    #[test]
    fn strangers_and_impossible_sources_are_junk() {
        let other = EthernetAddress([2, 0, 0, 0, 0, 7]);
        assert_eq!(
            classify(Medium::Ethernet, MAC, &syn(other, Ipv4Address::new(10, 0, 2, 2), false)),
            Payload::Malformed
        );
        assert_eq!(
            classify(Medium::Ethernet, MAC, &syn(MAC, Ipv4Address::new(127, 0, 0, 1), false)),
            Payload::Malformed
        );
        let broadcast = EthernetAddress::BROADCAST;
        assert_eq!(
            classify(Medium::Ethernet, MAC, &syn(broadcast, Ipv4Address::new(10, 0, 2, 2), false)),
            Payload::Malformed
        );
        let mut fragment = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
        fragment[ETHERNET_HEADER_LEN + 6] |= 0x20;
        assert_eq!(classify(Medium::Ethernet, MAC, &fragment), Payload::Malformed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified_without_a_panic(frame in proptest::collection::vec(any::<u8>(), 0..128)) {
            classify(Medium::Ethernet, MAC, &frame);
            classify(Medium::Ip, MAC, &frame);
            is_intact(Medium::Ethernet, &frame, true);
        }

        #[test]
        fn any_damage_to_a_segment_is_survived(at in 0usize..54, value in any::<u8>(), cut in 0usize..54) {
            let mut frame = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
            frame[at] = value;
            frame.truncate(frame.len() - cut);
            classify(Medium::Ethernet, MAC, &frame);
            is_intact(Medium::Ethernet, &frame, true);
        }
    }
}
