//! Internet checksums that the device and the driver share.
//!
//! The device completes a checksum whose field holds the sum over the pseudo header (VIRTIO 1.2, section 5.1.6.2), and
//! says of a received frame whether it was checked (section 5.1.6.4).

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    UdpPacket,
};

/// Where a frame's TCP or UDP checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first byte that is summed.
    pub start: u16,
    /// The field, counted from `start`.
    pub offset: u16,
}

/// Where the transport header of an unfragmented IP packet in an Ethernet frame begins, its protocol, and the two
/// addresses.
fn transport(frame: &[u8]) -> Option<(usize, IpProtocol, IpAddress, IpAddress, usize)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            let start = usize::from(packet.header_len());
            let end = usize::from(packet.total_len());
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            Some((ETHERNET_HEADER_LEN + start, packet.next_header(), from, to, ETHERNET_HEADER_LEN + end))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            let start = ETHERNET_HEADER_LEN + packet.header_len();
            Some((start, packet.next_header(), from, to, ETHERNET_HEADER_LEN + packet.total_len()))
        }
        _ => None,
    }
}

/// The sum over an address.
fn sum_of(address: IpAddress) -> u32 {
    let sum = |octets: &[u8]| octets.chunks(2).map(|half| u32::from(u16::from_be_bytes([half[0], half[1]]))).sum();
    match address {
        IpAddress::Ipv4(address) => sum(&address.octets()),
        IpAddress::Ipv6(address) => sum(&address.octets()),
    }
}

/// Prepares an outgoing frame for a device that completes its checksum. `None` if there is none to complete.
pub fn prepare(frame: &mut [u8]) -> Option<Place> {
    let (start, protocol, from, to, end) = transport(frame)?;
    let offset = match protocol {
        IpProtocol::Tcp => 16,
        IpProtocol::Udp => 6,
        _ => return None,
    };
    let len = end.checked_sub(start)?;
    let mut sum = u32::from(u8::from(protocol)) + len as u32 + sum_of(from) + sum_of(to);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame.get_mut(start + offset..start + offset + 2)?.copy_from_slice(&(sum as u16).to_be_bytes());
    Some(Place { start: start as u16, offset: offset as u16 })
}

/// Whether a received frame's TCP or UDP checksum is right. What has no such checksum is right.
pub fn is_right(frame: &[u8]) -> bool {
    let Some((start, protocol, from, to, end)) = transport(frame) else { return true };
    let Some(payload) = frame.get(start..end) else { return true };
    match protocol {
        IpProtocol::Tcp => TcpPacket::new_checked(payload).is_ok_and(|tcp| tcp.verify_checksum(&from, &to)),
        IpProtocol::Udp => UdpPacket::new_checked(payload).is_ok_and(|udp| {
            // Over IPv6 a datagram always has one (RFC 8200, section 8.1); smoltcp takes none for right.
            (udp.checksum() != 0 || matches!(from, IpAddress::Ipv4(_))) && udp.verify_checksum(&from, &to)
        }),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr, Ipv6Address, Ipv6Repr, UdpRepr};

    use super::*;

    fn datagram(payload: &[u8]) -> Vec<u8> {
        let (from, to) = (Ipv4Address::new(10, 0, 2, 2), Ipv4Address::new(200, 201, 202, 203));
        let udp = UdpRepr { src_port: 60000, dst_port: 53 };
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + payload.len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; ETHERNET_HEADER_LEN + ip.buffer_len() + udp.header_len() + payload.len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        let sums = ChecksumCapabilities::default();
        ip.emit(&mut packet, &sums);
        let mut segment = UdpPacket::new_unchecked(packet.payload_mut());
        udp.emit(&mut segment, &from.into(), &to.into(), payload.len(), |into| into.copy_from_slice(payload), &sums);
        frame
    }

    #[test]
    fn the_device_completes_what_was_prepared() {
        for len in 0..40 {
            let right = datagram(&vec![0xa5; len]);
            assert!(is_right(&right));
            let mut frame = right.clone();
            let Place { start, offset } = prepare(&mut frame).unwrap();
            assert_eq!((start, offset), (34, 6));
            // What the device does: the sum over everything from `start`, folded and inverted, into the field.
            let mut sum = 0u32;
            for pair in frame[34..].chunks(2) {
                sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            }
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            frame[40..42].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            assert_eq!(frame, right);
            frame[40] ^= 1;
            assert!(!is_right(&frame));
        }
    }

    #[test]
    fn a_segment_over_ipv6_has_its_checksum_too() {
        let (from, to) = (Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Address::new(0xfec0, 0, 0, 0, 9, 9, 9, 2));
        let udp = UdpRepr { src_port: 60000, dst_port: 53 };
        let payload_len = udp.header_len() + 7;
        let ip = Ipv6Repr { src_addr: from, dst_addr: to, next_header: IpProtocol::Udp, payload_len, hop_limit: 64 };
        let mut right = vec![0; ETHERNET_HEADER_LEN + ip.buffer_len() + payload_len];
        let mut ethernet = EthernetFrame::new_unchecked(&mut right[..]);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        let sums = ChecksumCapabilities::default();
        udp.emit(&mut datagram, &from.into(), &to.into(), 7, |into| into.copy_from_slice(b"payload"), &sums);
        assert!(is_right(&right));
        let mut frame = right.clone();
        assert_eq!(prepare(&mut frame), Some(Place { start: 54, offset: 6 }));
        let mut sum = 0u32;
        for pair in frame[54..].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        frame[60..62].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        assert_eq!(frame, right);
        frame[60] ^= 1;
        assert!(!is_right(&frame));
        frame[60..62].fill(0);
        assert!(!is_right(&frame));
    }

    #[test]
    fn other_frames_are_left_alone() {
        let mut arp = vec![0; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        let before = arp.clone();
        assert_eq!(prepare(&mut arp), None);
        assert_eq!(arp, before);
        assert!(is_right(&arp) && is_right(&[1, 2, 3]));
        assert_eq!(prepare(&mut [0; 5]), None);
    }
}
