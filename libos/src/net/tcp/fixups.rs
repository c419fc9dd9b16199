//! What smoltcp's TCP does not get right when segments are lost, mended at the frames that go in and out.
//!
//! **Segments that only acknowledge** are to have the number SND.NXT (RFC 9293, section 3.10.7.4), the highest that was
//! ever sent: a peer refuses what lies behind its window, with the acknowledgement in it. smoltcp sets its own idea of
//! SND.NXT back when it retransmits, so what it acknowledges meanwhile is refused; and when both ends of a connection
//! retransmit, neither learns any more what the other has got, and the connection is dead (smoltcp's issue 836). So
//! every outgoing segment is looked at here, and one that only acknowledges, with an old number, gets the highest.
//!
//! **A FIN that is lost alone** is to be sent again when its timer ends. smoltcp stops the timer at the third duplicate
//! acknowledgement, to send again what is missing, but then looks only for data, finds none, and never sends anything
//! any more. After a minute it asks for a sign of life with a byte in the FIN's place, which the peer takes for data.
//! So duplicate acknowledgements are kept from a connection that has nothing but its FIN to be acknowledged.

use super::fast_path::Headers;
use super::segment::{Peer, corrected, packet, segment};
use super::wire::Wire;
use smoltcp::phy::{self, TxToken};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// What a connection has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// The number after the last byte, SYN or FIN that was ever sent.
    next: Option<TcpSeqNumber>,
    /// The last number that was acknowledged to the peer, and the window in that header.
    told: Option<(TcpSeqNumber, u16)>,
    /// What comes before the segment in the frame.
    headers: Option<Headers>,
    /// How the peer knows the numbers.
    pub wire: Wire,
}

impl Sent {
    /// The last number that was acknowledged to the peer.
    pub fn acknowledged(&self) -> Option<TcpSeqNumber> {
        self.told.map(|(acknowledged, _)| acknowledged)
    }

    /// The same, and the window in that header.
    pub fn told(&self) -> Option<(TcpSeqNumber, u16)> {
        self.told
    }

    /// The headers of the last frame before its segment.
    pub fn headers(&self) -> Option<Headers> {
        self.headers
    }

    /// Others have sent until the number before `next`, and acknowledged.
    pub fn went_on(&mut self, next: TcpSeqNumber, told: (TcpSeqNumber, u16)) {
        (self.next, self.told) = (Some(next), Some(told));
    }

    /// The number after all that was ever sent, once there is one.
    pub fn next(&self) -> Option<TcpSeqNumber> {
        self.next
    }

    /// Whether an Ethernet frame for a connection that waits for nothing but the acknowledgement of its FIN is a
    /// duplicate one of what came before.
    pub fn only_repeats(&self, frame: &[u8]) -> bool {
        packet(frame).is_some_and(|segment| {
            segment.ack() && !segment.rst() && segment.segment_len() == 0 && Some(segment.ack_number()) != self.next
        })
    }

    /// Looks at an outgoing Ethernet frame, and corrects it.
    fn note(&mut self, frame: &mut [u8]) {
        let Some(place) = segment(frame) else { return };
        self.headers = Headers::of(frame, place.start);
        let Ok(mut segment) = TcpPacket::new_checked(&mut frame[place]) else { return };
        if segment.syn() {
            self.wire.tell(window_scale(&segment).unwrap_or(0));
        }
        self.wire.translate_out(&mut segment);
        if segment.ack() {
            self.told = Some((segment.ack_number(), segment.window_len()));
        }
        if segment.rst() {
            return;
        }
        let (number, len) = (segment.seq_number(), segment.segment_len());
        match self.next {
            Some(next) if len == 0 && number < next => {
                let sum = corrected(segment.checksum(), number.0, next.0);
                segment.set_seq_number(next);
                // A device that completes checksums does not care what is there, and 0 may be the right one.
                segment.set_checksum(sum);
            }
            Some(next) if number + len <= next => {}
            _ => self.next = Some(number + len),
        }
    }
}

/// What is expected from the peer next (RCV.NXT), which smoltcp does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    next: Option<TcpSeqNumber>,
    /// The number after all that has come, in order or not.
    highest: Option<TcpSeqNumber>,
    peer: Peer,
}

impl Received {
    /// The number that is expected next, once the peer's first one is known.
    pub fn next(&self) -> Option<TcpSeqNumber> {
        self.next
    }

    /// The peer has begun, with this Ethernet frame.
    pub fn begin(&mut self, frame: &[u8]) {
        let first = packet(frame);
        self.next = first.as_ref().map(|segment| segment.seq_number() + 1);
        self.highest = self.next;
        self.peer = first.as_ref().map(Peer::of).unwrap_or_default();
    }

    /// Looks at an Ethernet frame that is about to be taken, by who has room for `window` bytes.
    pub fn see(&mut self, frame: &[u8], window: usize) {
        let Some(segment) = packet(frame) else { return };
        let (Some(next), Some(highest)) = (self.next, self.highest) else { return };
        self.peer.window = segment.window_len();
        let end = segment.seq_number() + segment.segment_len();
        let begins_within = (0..window as i32).contains(&segment.seq_number().0.wrapping_sub(next.0));
        if begins_within && end > highest {
            self.highest = Some(end);
        }
    }

    /// What the peer has said of itself, and the number that is expected next, if nothing came out of order.
    pub fn in_order(&self) -> Option<(Peer, TcpSeqNumber)> {
        let next = self.next.filter(|next| self.highest.is_some_and(|highest| highest <= *next))?;
        Some((self.peer, next))
    }

    /// Others have received all before `next`, and this window with the last of it.
    pub fn went_on(&mut self, next: TcpSeqNumber, window: u16) {
        (self.next, self.highest, self.peer.window) = (Some(next), Some(next), window);
    }

    /// So many more bytes have come in order, an end counted as one.
    pub fn advance(&mut self, count: usize) {
        self.next = self.next.map(|next| next + count);
    }
}

/// What a SYN says about windows.
fn window_scale(segment: &TcpPacket<&mut [u8]>) -> Option<u8> {
    let header = segment.as_ref().get(..usize::from(segment.header_len()))?;
    Peer::of(&TcpPacket::new_unchecked(header)).scale()
}

/// Room for one frame of a connection, which is noted when it is written.
pub struct Observed<'s, T> {
    token: T,
    sent: Option<&'s mut Sent>,
}

impl<'s, T> Observed<'s, T> {
    /// Notes what is sent by this token, if it belongs to a connection on an Ethernet.
    pub fn new(token: T, sent: Option<&'s mut Sent>) -> Self {
        Self { token, sent }
    }
}

impl<T: TxToken> TxToken for Observed<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { token, sent } = self;
        token.consume(len, |frame| {
            let result = f(frame);
            if let Some(sent) = sent {
                sent.note(frame);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: phy::PacketMeta) {
        self.token.set_meta(meta);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use smoltcp::wire::{
        ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet,
    };

    use super::*;

    const FROM: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
    const TO: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
    const AT: usize = ETHERNET_HEADER_LEN + 20;

    /// A frame with a segment that acknowledges this number and has an old one itself.
    fn acknowledgement(acknowledged: i32) -> Vec<u8> {
        let mut frame = vec![0; AT + 20];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        packet.set_version(4);
        packet.set_header_len(20);
        packet.set_total_len(40);
        packet.set_next_header(IpProtocol::Tcp);
        packet.set_src_addr(FROM);
        packet.set_dst_addr(TO);
        let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
        segment.set_header_len(20);
        segment.set_ack(true);
        segment.set_seq_number(TcpSeqNumber(1_000_000));
        segment.set_ack_number(TcpSeqNumber(acknowledged));
        segment.fill_checksum(&IpAddress::Ipv4(FROM), &IpAddress::Ipv4(TO));
        frame
    }

    #[test]
    fn what_pads_a_frame_is_not_taken_for_bytes_out_of_order() {
        let mut frame = acknowledgement(7);
        let mut received = Received::default();
        received.begin(&frame);
        received.next = Some(TcpSeqNumber(1_000_000));
        received.highest = received.next;
        frame.resize(60, 0);
        received.see(&frame, 1000);
        assert!(received.in_order().is_some());
    }

    #[test]
    fn an_acknowledgement_whose_checksum_is_zero_is_corrected_with_a_right_one() {
        let zeros = (0..0x1_0000).map(acknowledgement).filter(|frame| frame[AT + 16..AT + 18] == [0, 0]);
        let zeros: Vec<_> = zeros.collect();
        assert!(!zeros.is_empty());
        for mut frame in zeros {
            let next = TcpSeqNumber(1_234_567);
            Sent { next: Some(next), ..Sent::default() }.note(&mut frame);
            let segment = TcpPacket::new_checked(&frame[AT..]).unwrap();
            assert_eq!(segment.seq_number(), next);
            assert!(segment.verify_checksum(&IpAddress::Ipv4(FROM), &IpAddress::Ipv4(TO)));
        }
    }
}
