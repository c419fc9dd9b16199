//! The headers before the segment, which are the same for every frame of a connection but for lengths.

use core::ops::Range;

use smoltcp::wire::{ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IPV4_HEADER_LEN, IPV6_HEADER_LEN};

const IPV4: usize = ETHERNET_HEADER_LEN + IPV4_HEADER_LEN;
const IPV6: usize = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN;
/// Where IPv4's header has its length and its checksum (RFC 791), and IPv6's the length of what follows it (RFC 8200).
const TOTAL_LEN: Range<usize> = ETHERNET_HEADER_LEN + 2..ETHERNET_HEADER_LEN + 4;
const CHECKSUM: Range<usize> = ETHERNET_HEADER_LEN + 10..ETHERNET_HEADER_LEN + 12;
const PAYLOAD_LEN: Range<usize> = ETHERNET_HEADER_LEN + 4..ETHERNET_HEADER_LEN + 6;

/// The Ethernet and IP headers of a frame that smoltcp has sent on a connection, for further frames. It writes none
/// with options.
#[derive(Clone, Copy, Debug)]
pub enum Headers {
    /// Ethernet's and IPv4's, and the sum over the latter without its length.
    Ipv4([u8; IPV4], u32),
    /// Ethernet's and IPv6's.
    Ipv6([u8; IPV6]),
}

impl Headers {
    /// Those of this Ethernet frame, whose TCP segment begins at `segment`.
    pub fn of(frame: &[u8], segment: usize) -> Option<Self> {
        match (EthernetFrame::new_checked(frame).ok()?.ethertype(), segment) {
            (EthernetProtocol::Ipv4, IPV4) => {
                let mut bytes: [u8; IPV4] = *frame.first_chunk()?;
                bytes[TOTAL_LEN].fill(0);
                bytes[CHECKSUM].fill(0);
                let words = bytes[ETHERNET_HEADER_LEN..].chunks_exact(2);
                let sum = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
                Some(Self::Ipv4(bytes, sum))
            }
            (EthernetProtocol::Ipv6, IPV6) => Some(Self::Ipv6(*frame.first_chunk()?)),
            _ => None,
        }
    }

    /// How long they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Ipv4(..) => IPV4,
            Self::Ipv6(..) => IPV6,
        }
    }

    /// Writes them at the start of a frame, and returns the rest of it.
    pub fn write<'f>(&self, frame: &'f mut [u8]) -> &'f mut [u8] {
        let (headers, segment) = frame.split_at_mut(self.len());
        match self {
            Self::Ipv4(bytes, sum) => {
                let total_len = (IPV4_HEADER_LEN + segment.len()) as u16;
                let mut sum = sum + u32::from(total_len);
                while sum > 0xffff {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                headers.copy_from_slice(bytes);
                headers[TOTAL_LEN].copy_from_slice(&total_len.to_be_bytes());
                headers[CHECKSUM].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            }
            Self::Ipv6(bytes) => {
                headers.copy_from_slice(bytes);
                headers[PAYLOAD_LEN].copy_from_slice(&(segment.len() as u16).to_be_bytes());
            }
        }
        segment
    }
}
