//! Resets and SYNs in the middle of a connection, believed only from who knows its numbers (RFC 5961).
//!
//! smoltcp takes a reset anywhere in its window, which a stranger hits with a few ten thousand guesses, and says
//! nothing to a SYN in the window, so that a peer that lost its memory is not told that it has. Here a reset counts
//! only with exactly the number that is expected next. Another one in the window, and any SYN, is replaced by a
//! segment that smoltcp answers by an acknowledgement, at most once a second: a peer that meant it answers with the
//! right number.

use alloc::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpAddress, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket,
    TcpSeqNumber,
};

use super::segment::segment;
use crate::net::frame::bare_segment;

/// What becomes of a segment for a connection that is up.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// smoltcp gets it.
    Take,
    /// Nobody gets it.
    Ignore,
    /// smoltcp gets this frame instead of it.
    Challenge(Vec<u8>),
}

/// Judges an Ethernet frame for a connection that expects the number `expected` next, has room for `window` bytes, and
/// has sent all below `sent`.
pub fn judge(frame: &[u8], expected: TcpSeqNumber, window: usize, sent: TcpSeqNumber) -> Verdict {
    let Some(place) = segment(frame) else { return Verdict::Take };
    let at = place.start;
    let Ok(packet) = TcpPacket::new_checked(&frame[place]) else { return Verdict::Take };
    let ahead = packet.seq_number().0.wrapping_sub(expected.0);
    match (packet.rst(), packet.syn()) {
        (false, false) => Verdict::Take,
        (true, _) if ahead == 0 => Verdict::Take,
        (true, _) if ahead < 0 || ahead as usize >= window => Verdict::Ignore,
        _ => Verdict::Challenge(question(frame, at, &packet, expected, sent)),
    }
}

/// A segment from the same sender that asks for a sign of life and changes nothing.
fn question(frame: &[u8], at: usize, packet: &TcpPacket<&[u8]>, expected: TcpSeqNumber, sent: TcpSeqNumber) -> Vec<u8> {
    let ports = (packet.src_port(), packet.dst_port());
    let segment = bare_segment(ports, TcpControl::None, (expected - 1, Some(sent)), packet.window_len());
    let len = segment.buffer_len();
    let mut question = frame[..at].to_vec();
    question.resize(at + len, 0);
    let (from, to): (IpAddress, IpAddress) = match EthernetFrame::new_unchecked(frame).ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut header = Ipv4Packet::new_unchecked(&mut question[ETHERNET_HEADER_LEN..]);
            header.set_total_len((at - ETHERNET_HEADER_LEN + len) as u16);
            header.fill_checksum();
            (header.src_addr().into(), header.dst_addr().into())
        }
        _ => {
            let mut header = Ipv6Packet::new_unchecked(&mut question[ETHERNET_HEADER_LEN..]);
            header.set_payload_len(len as u16);
            (header.src_addr().into(), header.dst_addr().into())
        }
    };
    let into = &mut TcpPacket::new_unchecked(&mut question[at..]);
    segment.emit(into, &from, &to, &ChecksumCapabilities::default());
    question
}
