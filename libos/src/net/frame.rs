//! Which socket a received frame is for, read from its headers before the stack sees it.
//!
//! smoltcp looks at every socket of a set for every frame. Here each connection has a set of its own, so the frame's
//! addresses choose the set, and a frame costs the same with one connection as with a thousand.

use smoltcp::phy::Medium;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol,
    Ipv4Packet, TcpPacket, UdpPacket,
};

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// This machine's end.
    pub local: IpEndpoint,
    /// The peer's end.
    pub remote: IpEndpoint,
}

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment.
    Segment {
        /// Its receiver and sender.
        tuple: Tuple,
        /// It is the first segment of a connection: SYN without ACK or RST.
        opens: bool,
    },
    /// A UDP datagram to this address.
    Datagram(IpEndpoint),
    /// An address resolution message.
    Arp,
    /// Something that no socket wants, but smoltcp may answer (an ICMP echo).
    Other,
    /// Malformed, a fragment, for another machine, or with an impossible source: to be ignored.
    Junk,
}

/// Reads the headers of `frame`. `mac` is this machine's address on an Ethernet.
pub fn classify(medium: Medium, mac: EthernetAddress, frame: &[u8]) -> Kind {
    match medium {
        Medium::Ethernet => {
            let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Kind::Junk };
            let to = ethernet.dst_addr();
            if to != mac && !to.is_broadcast() && !to.is_multicast() {
                return Kind::Junk;
            }
            match ethernet.ethertype() {
                EthernetProtocol::Arp => Kind::Arp,
                EthernetProtocol::Ipv4 => match classify_ipv4(ethernet.payload(), to == mac) {
                    // An address of this machine's own loopback network cannot come from a wire.
                    Kind::Segment { tuple, .. } if is_loopback(tuple.remote.addr) || is_loopback(tuple.local.addr) => {
                        Kind::Junk
                    }
                    Kind::Datagram(to) if is_loopback(to.addr) => Kind::Junk,
                    kind => kind,
                },
                _ => Kind::Junk,
            }
        }
        Medium::Ip => classify_ipv4(frame, true),
    }
}

/// Whether `address` is in 127.0.0.0/8.
pub fn is_loopback(address: IpAddress) -> bool {
    let IpAddress::Ipv4(address) = address;
    address.is_loopback()
}

fn classify_ipv4(packet: &[u8], unicast: bool) -> Kind {
    let Ok(packet) = Ipv4Packet::new_checked(packet) else { return Kind::Junk };
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return Kind::Junk;
    }
    let (from, to) = (IpAddress::Ipv4(packet.src_addr()), IpAddress::Ipv4(packet.dst_addr()));
    match packet.next_header() {
        IpProtocol::Tcp => {
            let Ok(segment) = TcpPacket::new_checked(packet.payload()) else { return Kind::Junk };
            if !unicast || !from.is_unicast() || !to.is_unicast() || segment.src_port() == 0 || segment.dst_port() == 0
            {
                return Kind::Junk;
            }
            Kind::Segment {
                tuple: Tuple {
                    local: IpEndpoint::new(to, segment.dst_port()),
                    remote: IpEndpoint::new(from, segment.src_port()),
                },
                opens: segment.syn() && !segment.ack() && !segment.rst() && !segment.fin(),
            }
        }
        IpProtocol::Udp => match UdpPacket::new_checked(packet.payload()) {
            Ok(datagram) => Kind::Datagram(IpEndpoint::new(to, datagram.dst_port())),
            Err(_) => Kind::Junk,
        },
        _ => Kind::Other,
    }
}

/// Whether the IPv4 and TCP checksums of a segment are right. `frame` has been classified as a segment.
pub fn checksums_are_right(medium: Medium, frame: &[u8]) -> bool {
    let packet = match medium {
        Medium::Ethernet => frame.get(ETHERNET_HEADER_LEN..).unwrap_or_default(),
        Medium::Ip => frame,
    };
    let Ok(packet) = Ipv4Packet::new_checked(packet) else { return false };
    let Ok(segment) = TcpPacket::new_checked(packet.payload()) else { return false };
    packet.verify_checksum()
        && segment.verify_checksum(&IpAddress::Ipv4(packet.src_addr()), &IpAddress::Ipv4(packet.dst_addr()))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr, TcpControl, TcpRepr, TcpSeqNumber};

    use super::*;

    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    fn syn(mac: EthernetAddress, from: Ipv4Address, ack: bool) -> Vec<u8> {
        let to = Ipv4Address::new(10, 0, 2, 15);
        let tcp = TcpRepr {
            src_port: 4000,
            dst_port: 6379,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(7),
            ack_number: ack.then_some(TcpSeqNumber(1)),
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
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
        let Kind::Segment { tuple, opens } = classify(Medium::Ethernet, MAC, &frame) else { panic!() };
        assert!(opens);
        assert_eq!((tuple.local.port, tuple.remote.port), (6379, 4000));
        assert!(checksums_are_right(Medium::Ethernet, &frame));
        let acknowledged = syn(MAC, Ipv4Address::new(10, 0, 2, 2), true);
        assert!(matches!(classify(Medium::Ethernet, MAC, &acknowledged), Kind::Segment { opens: false, .. }));
    }

    #[test]
    fn a_damaged_segment_is_noticed() {
        let mut frame = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
        *frame.last_mut().unwrap() ^= 1;
        assert!(!checksums_are_right(Medium::Ethernet, &frame));
    }

    #[test]
    fn strangers_and_impossible_sources_are_junk() {
        let other = EthernetAddress([2, 0, 0, 0, 0, 7]);
        assert_eq!(classify(Medium::Ethernet, MAC, &syn(other, Ipv4Address::new(10, 0, 2, 2), false)), Kind::Junk);
        assert_eq!(classify(Medium::Ethernet, MAC, &syn(MAC, Ipv4Address::new(127, 0, 0, 1), false)), Kind::Junk);
        let broadcast = EthernetAddress::BROADCAST;
        assert_eq!(classify(Medium::Ethernet, MAC, &syn(broadcast, Ipv4Address::new(10, 0, 2, 2), false)), Kind::Junk);
        let mut fragment = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
        fragment[ETHERNET_HEADER_LEN + 6] |= 0x20;
        assert_eq!(classify(Medium::Ethernet, MAC, &fragment), Kind::Junk);
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified_without_a_panic(frame in proptest::collection::vec(any::<u8>(), 0..128)) {
            classify(Medium::Ethernet, MAC, &frame);
            classify(Medium::Ip, MAC, &frame);
            checksums_are_right(Medium::Ethernet, &frame);
        }

        #[test]
        fn any_damage_to_a_segment_is_survived(at in 0usize..54, value in any::<u8>(), cut in 0usize..54) {
            let mut frame = syn(MAC, Ipv4Address::new(10, 0, 2, 2), false);
            frame[at] = value;
            frame.truncate(frame.len() - cut);
            classify(Medium::Ethernet, MAC, &frame);
            checksums_are_right(Medium::Ethernet, &frame);
        }
    }
}
