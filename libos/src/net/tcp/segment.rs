//! A TCP segment in an Ethernet frame: where it is, and what it says.

use core::ops::Range;

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket,
};

/// Where the TCP segment in an Ethernet frame is, without what pads the frame.
pub(super) fn segment(frame: &[u8]) -> Option<Range<usize>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            let (header_len, total_len) = (packet.header_len().into(), packet.total_len().into());
            (packet.next_header() == IpProtocol::Tcp).then(|| within_frame(header_len..total_len))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| within_frame(packet.header_len()..packet.total_len()))
        }
        _ => None,
    }
}

/// A place in a packet, as one in its Ethernet frame.
fn within_frame(place: Range<usize>) -> Range<usize> {
    ETHERNET_HEADER_LEN + place.start..ETHERNET_HEADER_LEN + place.end
}

/// The TCP segment in an Ethernet frame, to be read.
pub(super) fn packet(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    TcpPacket::new_checked(frame.get(segment(frame)?)?).ok()
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

/// The segments that a peer takes that does not say (RFC 9293, section 3.7.1), and the least that smoltcp believes.
const DEFAULT_MSS: usize = 536;
const MIN_MSS: usize = 48;

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

    /// The most bytes of a segment that it takes, as smoltcp has it.
    pub fn segment_len(&self) -> usize {
        self.mss.filter(|&mss| mss > 0).map_or(DEFAULT_MSS, |mss| usize::from(mss).max(MIN_MSS))
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
