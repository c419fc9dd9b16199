//! The way from this machine to itself: a bounded queue of packets.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::mm::{CALL_ROOM, has_room};

/// Packets on their way are bounded, as on a wire; TCP waits when there is no room.
const CAPACITY: usize = 256;

/// A device whose sent packets are received by itself. Memory does not damage them, so there are no checksums.
#[derive(Default)]
pub struct Loopback {
    packets: VecDeque<Vec<u8>>,
}

impl Loopback {
    /// Whether a packet waits to be received.
    pub fn is_pending(&self) -> bool {
        !self.packets.is_empty()
    }
}

impl Device for Loopback {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sender<'_>)> {
        // An answer takes the place of the packet that it answers.
        let packet = self.packets.pop_front()?;
        Some((Received(packet), Sender(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sender<'_>> {
        (self.packets.len() < CAPACITY && has_room(CALL_ROOM)).then_some(Sender(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 16 * 1024;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

/// A received packet.
pub struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for one packet.
pub struct Sender<'a>(&'a mut Loopback);

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.packets.push_back(packet);
        result
    }
}
