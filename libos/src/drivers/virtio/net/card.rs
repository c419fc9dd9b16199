//! The card as a device for smoltcp.

use alloc::vec::Vec;
use core::fmt;

use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::super::checksum::{self, Place};
use super::super::memory::SharedMemory;
use super::super::queue::{InterruptSwitch, ProtocolError, Queue};
use super::features::Offload;
use super::frame::{FRAME_LEN, HEADER_LEN, NEEDS_CHECKSUM};
use super::receiver::{Received, Receiver};

/// One transmit buffer: header, frame, and room to keep buffers on their own cache lines.
const BUFFER_LEN: usize = 1536;

/// How the device is told that a queue has new buffers.
pub trait Doorbell {
    /// Notifies the device of queue 0 (receive) or 1 (transmit).
    fn ring(&mut self, queue: u16);
}

/// What has passed the card since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that were received, of any kind.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that were given to the device.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// How often the device was notified of new buffers.
    pub notifications: u64,
    /// Buffers of either queue that the device has, or has had without our having looked since.
    pub lent: usize,
}

/// What the device did wrong with one of its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    queue: &'static str,
    error: ProtocolError,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, in the {} queue", self.error, self.queue)
    }
}

/// The card.
pub struct Card<B: Doorbell> {
    receiver: Receiver,
    transmit: Queue,
    transmit_buffers: SharedMemory,
    /// Transmit buffers that are ours.
    free: Vec<u16>,
    ring_transmit: bool,
    bell: B,
    offload: Offload,
    traffic: Traffic,
    failure_taken: bool,
}

impl<B: Doorbell> Card<B> {
    /// The bytes of shared memory for the buffers of queues of these sizes: for receiving and for sending.
    pub const fn buffer_bytes(receive: u16, transmit: u16, offload: Offload) -> [usize; 2] {
        [Receiver::buffer_bytes(receive, offload), BUFFER_LEN * transmit as usize]
    }

    /// A card whose queues the device knows already. The buffers' memory is as long as [`Card::buffer_bytes`] says.
    pub fn new(
        receive: Queue,
        transmit: Queue,
        receive_buffers: SharedMemory,
        transmit_buffers: SharedMemory,
        bell: B,
        offload: Offload,
    ) -> Self {
        let free = (0..transmit.size()).collect();
        // Sent frames are collected when buffers run short; an interrupt for each of them would be for nothing.
        transmit.interrupts().disable();
        Self {
            receiver: Receiver::new(receive, receive_buffers, offload),
            transmit,
            transmit_buffers,
            free,
            ring_transmit: false,
            bell,
            offload,
            traffic: Traffic::default(),
            failure_taken: false,
        }
    }

    /// Gives the device what it does not know of yet, and notifies it if it wants that.
    pub fn flush(&mut self) {
        self.ring_transmit |= self.transmit.publish();
        if core::mem::take(&mut self.ring_transmit) {
            self.bell.ring(1);
            self.traffic.notifications += 1;
        }
        if self.receiver.publish() {
            self.bell.ring(0);
            self.traffic.notifications += 1;
        }
    }

    /// Whether a received frame waits.
    pub fn has_received(&self) -> bool {
        self.receiver.has_used()
    }

    /// What the device did wrong, if it has broken a rule of a queue; that direction is dead.
    pub fn failure(&self) -> Option<Failure> {
        let of = |queue, error: Option<ProtocolError>| error.map(|error| Failure { queue, error });
        of("receive", self.receiver.error()).or(of("transmit", self.transmit.error()))
    }

    /// What the device did wrong, for whoever is to say so: once.
    pub fn take_failure(&mut self) -> Option<Failure> {
        let failure = self.failure().filter(|_| !self.failure_taken)?;
        self.failure_taken = true;
        Some(failure)
    }

    /// The switches for the interrupts of the receive and the transmit queue.
    pub fn interrupts(&self) -> [InterruptSwitch; 2] {
        [self.receiver.interrupts(), self.transmit.interrupts()]
    }

    /// What has passed the card.
    pub fn traffic(&mut self) -> Traffic {
        self.reclaim();
        Traffic { lent: self.receiver.in_flight() + self.transmit.in_flight(), ..self.traffic }
    }

    fn reclaim(&mut self) {
        while let Some(used) = self.transmit.pop_used() {
            self.free.push(used.buffer);
        }
    }

    /// Makes sure that a frame can be sent, or that the device interrupts when one can.
    fn has_room(&mut self) -> bool {
        if self.free.is_empty() {
            self.reclaim();
        }
        if self.free.is_empty() {
            // The device must know of what it is to send, and what it sent until now raises no interrupt.
            self.flush();
            self.transmit.interrupts().enable();
            self.reclaim();
        }
        if self.free.is_empty() {
            return false;
        }
        self.transmit.interrupts().disable();
        true
    }
}

impl<B: Doorbell> Device for Card<B> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sender<'_>)> {
        if !self.has_room() {
            return None;
        }
        if self.receiver.is_due() {
            self.flush();
        }
        let received = self.receiver.take()?;
        self.traffic.received += 1;
        self.traffic.received_bytes += received.len() as u64;
        let sender = Sender {
            queue: &mut self.transmit,
            free: &mut self.free,
            buffers: self.transmit_buffers,
            complete: self.offload.transmit,
            traffic: &mut self.traffic,
        };
        Some((received, sender))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sender<'_>> {
        self.has_room().then_some(Sender {
            queue: &mut self.transmit,
            free: &mut self.free,
            buffers: self.transmit_buffers,
            complete: self.offload.transmit,
            traffic: &mut self.traffic,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_LEN;
        let checksum = match (self.offload.transmit, self.offload.receive) {
            (false, false) => Checksum::Both,
            (true, false) => Checksum::Rx,
            (false, true) => Checksum::Tx,
            (true, true) => Checksum::None,
        };
        capabilities.checksum.tcp = checksum;
        capabilities.checksum.udp = checksum;
        capabilities
    }
}

/// Room for one frame.
pub struct Sender<'a> {
    queue: &'a mut Queue,
    free: &'a mut Vec<u16>,
    buffers: SharedMemory,
    complete: bool,
    traffic: &'a mut Traffic,
}

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        assert!(len <= FRAME_LEN, "the stack keeps to the device's frame length");
        let buffer = self.free.pop().expect("a sender is made only when there is room");
        let mut memory = self.buffers.part(BUFFER_LEN * usize::from(buffer), BUFFER_LEN);
        let address = memory.bus();
        // SAFETY: the buffer is free, so the device does not have it, and it left the list of free ones just now.
        let bytes = unsafe { memory.bytes_mut() };
        let (header, rest) = bytes.split_at_mut(HEADER_LEN);
        let frame = &mut rest[..len];
        let result = f(frame);
        header.fill(0);
        if self.complete
            && let Some(Place { start, offset }) = checksum::prepare(frame)
        {
            header[0] = NEEDS_CHECKSUM;
            header[6..8].copy_from_slice(&start.to_le_bytes());
            header[8..10].copy_from_slice(&offset.to_le_bytes());
        }
        self.queue.set_descriptor(buffer, address, (HEADER_LEN + len) as u32, false);
        self.queue.add(buffer);
        self.traffic.sent += 1;
        self.traffic.sent_bytes += len as u64;
        result
    }
}
