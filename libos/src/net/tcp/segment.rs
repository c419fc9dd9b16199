//! A TCP segment in an Ethernet frame: where it is, and what it says.

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket,
};

/// Where the TCP segment in an Ethernet frame begins.
pub(super) fn segment(frame: &[u8]) -> Option<usize> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| ETHERNET_HEADER_LEN + usize::from(packet.header_len()))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then_some(ETHERNET_HEADER_LEN + packet.header_len())
        }
        _ => None,
    }
}

/// The TCP segment in an Ethernet frame, to be read.
pub(super) fn packet(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    TcpPacket::new_checked(frame.get(segment(frame)?..)?).ok()
}

/// How many bytes the TCP segment in an Ethernet frame carries.
pub fn payload_len(frame: &[u8]) -> usize {
    packet(frame).map_or(0, |segment| segment.payload().len())
}

/// A checksum after a change of 32 bits (RFC 1624).
pub(super) fn corrected(sum: u16, before: i32, after: i32) -> u16 {
    let halves = |number: i32| [(number as u32 >> 16) as u16, number as u16];
    let mut total = u32::from(!sum);
    for (before, after) in halves(before).into_iter().zip(halves(after)) {
        total += u32::from(!before) + u32::from(after);
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// What the peer has said of itself in its SYN, and its last window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    pub(super) mss: Option<u16>,
    scale: Option<u8>,
    pub(super) sack: bool,
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
