//! The numbers of a connection whose socket has others than the peer knows, since it was exchanged for another one.

use alloc::vec::Vec;

use smoltcp::wire::{TcpPacket, TcpSeqNumber};

use super::segment::{corrected, segment};

/// How the numbers in a connection's frames differ from its socket's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// What is added to the socket's own sequence numbers.
    pub(super) shift: i32,
    /// How many bits the window is shifted by: as the peer was told, and as the socket does it.
    pub(super) told: u8,
    pub(super) does: u8,
}

impl Wire {
    /// Our SYN has told the peer by how many bits windows are shifted.
    pub fn tell(&mut self, scale: u8) {
        (self.told, self.does) = (scale, scale);
    }

    /// By how many bits the peer takes windows to be shifted.
    pub fn scale(&self) -> u8 {
        self.told
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
        let Some(place) = segment(original).filter(|_| self.shift != 0) else { return Some(frame) };
        frame.try_reserve_exact(original.len()).ok()?;
        frame.extend_from_slice(original);
        let mut packet = TcpPacket::new_checked(&mut frame[place]).ok()?;
        if packet.ack() {
            let number = packet.ack_number().0;
            let here = number.wrapping_sub(self.shift);
            packet.set_checksum(corrected(packet.checksum(), number, here));
            packet.set_ack_number(TcpSeqNumber(here));
        }
        Some(frame)
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
