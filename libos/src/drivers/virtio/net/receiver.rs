//! The receiving half of the card.
//!
//! A frame lies in one buffer, and is read there. With large receives it may lie in several that follow each other in
//! the used ring, and is put together in an area that was made at the start. The device shows all buffers of a frame at
//! once and fills all but the last (section 5.1.6.4): one that shows fewer than it says is broken, and is not waited
//! for.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use smoltcp::phy;

use super::super::checksum;
use super::super::memory::SharedMemory;
use super::super::queue::{InterruptSwitch, ProtocolError, Queue, Used};
use super::features::Offload;
use super::frame::{CHECKSUM_VALID, FRAME_LEN, HEADER_LEN, NEEDS_CHECKSUM};

/// One buffer for one frame: header, frame, and room to keep buffers on their own cache lines.
const SMALL_BUFFER: usize = 1536;
/// One of the buffers that a large frame may span; more where there are so few that the longest frame would not fit.
const LARGE_BUFFER: usize = 4096;
/// The largest frame that the device puts together: an Ethernet header and an IP packet (section 5.1.6.3.1).
pub const LONGEST_FRAME: usize = 65_550;
/// Buffers that are given back together.
const REFILL: u16 = 16;
/// In the header's kinds of segmentation, without the bit for congestion notification: TCP over IPv4 and over IPv6.
const SEGMENTS: [u8; 2] = [1, 4];

/// The receive queue and its buffers.
pub struct Receiver {
    queue: Queue,
    buffers: SharedMemory,
    offload: Offload,
    /// Buffers that were given back but not yet published.
    refilled: u16,
    ring: bool,
    /// Where frames of several buffers are put together, one after the other. It never grows.
    assembly: Vec<u8>,
}

/// What is read of the header before a frame, once.
#[derive(Clone, Copy)]
struct Header {
    flags: u8,
    segmentation: u8,
    buffers: u16,
}

impl Header {
    fn read(buffer: SharedMemory) -> Self {
        let [flags, segmentation] = buffer.load(0, Ordering::Relaxed).to_le_bytes();
        Self { flags, segmentation, buffers: buffer.load(10, Ordering::Relaxed) }
    }

    /// Whether a frame of `len` bytes may follow: only segments are put together.
    fn allows(self, len: usize) -> bool {
        len <= FRAME_LEN || SEGMENTS.contains(&(self.segmentation & 0x7f))
    }
}

/// The length of each of the buffers of a queue of `size`.
const fn buffer_len(size: u16, offload: Offload) -> usize {
    if offload.large {
        (HEADER_LEN + LONGEST_FRAME).div_ceil(size as usize).next_multiple_of(LARGE_BUFFER)
    } else {
        SMALL_BUFFER
    }
}

impl Receiver {
    /// The bytes of shared memory for the buffers of a queue of `size`.
    pub const fn buffer_bytes(size: u16, offload: Offload) -> usize {
        buffer_len(size, offload) * size as usize
    }

    /// Offers all buffers to a device that knows the queue already.
    pub fn new(queue: Queue, buffers: SharedMemory, offload: Offload) -> Self {
        let assembly = if offload.large { Vec::with_capacity(LONGEST_FRAME) } else { Vec::new() };
        let mut receiver = Self { queue, buffers, offload, refilled: 0, ring: false, assembly };
        for number in 0..receiver.queue.size() {
            let at = receiver.buffer(number);
            receiver.queue.set_descriptor(number, at.bus(), at.len() as u32, true);
            receiver.queue.add(number);
        }
        receiver.ring = receiver.queue.publish();
        receiver
    }

    fn buffer(&self, number: u16) -> SharedMemory {
        let len = buffer_len(self.queue.size(), self.offload);
        self.buffers.part(len * usize::from(number), len)
    }

    /// Shows the device the buffers that were given back. `true`: it is to be notified.
    pub fn publish(&mut self) -> bool {
        if self.refilled > 0 {
            self.refilled = 0;
            self.ring |= self.queue.publish();
        }
        core::mem::take(&mut self.ring)
    }

    /// Whether so many buffers were given back that the device should know.
    pub const fn is_due(&self) -> bool {
        self.refilled >= REFILL
    }

    /// Whether a frame waits.
    pub fn has_used(&self) -> bool {
        self.queue.has_used()
    }

    /// The rule that the device broke, if it did.
    pub const fn error(&self) -> Option<ProtocolError> {
        self.queue.error()
    }

    /// The buffers that the device has.
    pub fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }

    /// The switch for the queue's interrupts.
    pub fn interrupts(&self) -> InterruptSwitch {
        self.queue.interrupts()
    }

    /// Takes one frame. One that is not what the device says is dropped: it is empty, which no stack minds.
    pub fn take(&mut self) -> Option<Received<'_>> {
        let first = self.queue.pop_used()?;
        let said = first.len as usize;
        let memory = self.buffer(first.buffer);
        let header = Header::read(memory);
        // What the device has not checked is checked here, if the stack leaves checksums to the card.
        let verify = self.offload.receive && header.flags & (NEEDS_CHECKSUM | CHECKSUM_VALID) == 0;
        if self.offload.large && said >= HEADER_LEN && header.buffers > 1 {
            if !self.assemble(first, header.buffers) || !header.allows(self.assembly.len()) {
                self.assembly.clear();
            }
            return Some(Received { place: Place::Assembly(&self.assembly), len: self.assembly.len(), verify });
        }
        let is_right = (HEADER_LEN..=memory.len()).contains(&said) && header.buffers == 1;
        let len = match said.clamp(HEADER_LEN, memory.len()) - HEADER_LEN {
            len if !self.offload.large => len.min(FRAME_LEN),
            len if is_right && header.allows(len) => len,
            _ => 0,
        };
        let loan = Loan { queue: &mut self.queue, refilled: &mut self.refilled, memory, number: first.buffer };
        Some(Received { place: Place::Buffer(loan), len, verify })
    }

    /// Puts a frame of `count` buffers together. Each goes back to the device, whatever it holds. `false`: they are no
    /// frame.
    fn assemble(&mut self, first: Used, count: u16) -> bool {
        self.assembly.clear();
        let rest = count - 1;
        let waiting = self.queue.waiting();
        if waiting < rest {
            self.queue.poison(ProtocolError::Frame { buffers: count, given_back: waiting + 1 });
        }
        let mut is_frame = self.append(first, HEADER_LEN, true);
        for left in (0..rest).rev() {
            let Some(next) = self.queue.pop_used() else { return false };
            is_frame &= self.append(next, 0, left > 0);
        }
        is_frame
    }

    /// Takes over what a buffer holds from `skip` on, and gives the buffer back. `false`: it does not hold what it
    /// should.
    fn append(&mut self, used: Used, skip: usize, is_full: bool) -> bool {
        let mut memory = self.buffer(used.buffer);
        let len = used.len as usize;
        let has_right_len = if is_full { len == memory.len() } else { (skip..=memory.len()).contains(&len) };
        let fits = has_right_len && len - skip <= LONGEST_FRAME - self.assembly.len();
        if fits {
            // SAFETY: the device gave the buffer back and must not touch it until it is offered again, which is below;
            // its number is in no token, because the queue gives a number out once.
            let bytes = unsafe { memory.bytes_mut() };
            self.assembly.extend_from_slice(&bytes[skip..len]);
        }
        self.queue.add(used.buffer);
        self.refilled = self.refilled.saturating_add(1);
        fits
    }
}

/// A received frame.
pub struct Received<'a> {
    place: Place<'a>,
    len: usize,
    verify: bool,
}

enum Place<'a> {
    Buffer(Loan<'a>),
    Assembly(&'a [u8]),
}

/// A buffer with a frame, which goes back to the device when this is dropped.
struct Loan<'a> {
    queue: &'a mut Queue,
    refilled: &'a mut u16,
    memory: SharedMemory,
    number: u16,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.queue.add(self.number);
        *self.refilled = self.refilled.saturating_add(1);
    }
}

impl Received<'_> {
    /// The frame's length.
    pub const fn len(&self) -> usize {
        self.len
    }
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        // smoltcp ignores an empty frame.
        let checked = |frame| if self.verify && !checksum::is_right(frame) { &[][..] } else { frame };
        match self.place {
            Place::Buffer(mut loan) => {
                // SAFETY: the device gave the buffer back and must not touch it until it is offered again, which
                // happens when `loan` is dropped; its number is in no other token, because the queue
                // gives a number out once.
                let bytes = unsafe { loan.memory.bytes_mut() };
                f(checked(&bytes[HEADER_LEN..HEADER_LEN + self.len]))
            }
            Place::Assembly(frame) => f(checked(frame)),
        }
    }
}
