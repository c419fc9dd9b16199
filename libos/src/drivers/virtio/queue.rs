//! The split virtqueue (VIRTIO 1.2, section 2.7): how buffers go to the device and come back.
//!
//! Three arrays in shared memory. The driver writes the descriptors and the ring of *available* ones, the device the
//! ring of *used* ones. Here every descriptor belongs to one buffer for ever and no two are chained, so a buffer's
//! number is its descriptor's. The device is not believed: it can only give back buffers that it has.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

use super::memory::SharedMemory;
use crate::addr::PhysAddr;

const DESCRIPTOR_LEN: usize = 16;
/// The descriptor's buffer is written by the device.
const DESCRIPTOR_WRITE: u32 = 2;
/// In the available ring's flags: no interrupt is wanted.
const NO_INTERRUPT: u16 = 1;
/// In the used ring's flags: no notification is wanted.
const NO_NOTIFY: u16 = 1;

/// A buffer that the device has given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The buffer's number.
    pub buffer: u16,
    /// How many bytes the device says that it has written.
    pub len: u32,
}

/// A rule that the device broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The used ring's index says that more buffers were given back than there are.
    Index {
        /// How many.
        given_back: u16,
        /// How many there are.
        size: u16,
    },
    /// A buffer was given back that the device did not have.
    Buffer(u32),
    /// A frame has more buffers than were given back.
    Frame {
        /// How many the frame has.
        buffers: u16,
        /// How many were given back.
        given_back: u16,
    },
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index { given_back, size } => write!(f, "the device gave back {given_back} of {size} buffers"),
            Self::Buffer(number) => write!(f, "the device gave back buffer {number}, which it did not have"),
            Self::Frame { buffers, given_back } => {
                write!(f, "the device gave back {given_back} of the {buffers} buffers that it said a frame has")
            }
        }
    }
}

/// A virtqueue.
pub struct Queue {
    memory: SharedMemory,
    size: u16,
    /// The available ring's next index; published up to `published`.
    next: u16,
    published: u16,
    /// The used ring's index up to which it was read.
    seen: u16,
    /// For each buffer, whether the device has it.
    lent: Vec<bool>,
    /// The first rule that the device broke. From then on its queue is not looked at any more.
    error: Option<ProtocolError>,
}

const fn available_at(size: u16) -> usize {
    DESCRIPTOR_LEN * size as usize
}

const fn used_at(size: u16) -> usize {
    (available_at(size) + 6 + 2 * size as usize).next_multiple_of(4)
}

impl Queue {
    /// The bytes of shared memory that a queue of `size` buffers needs.
    pub const fn bytes(size: u16) -> usize {
        used_at(size) + 6 + 8 * size as usize
    }

    /// An empty queue in zeroed memory. `size` is a power of two.
    ///
    /// # Panics
    /// If `size` is no power of two up to 32768, or the memory is too short.
    pub fn new(memory: SharedMemory, size: u16) -> Self {
        assert!(size.is_power_of_two() && memory.len() >= Self::bytes(size));
        let lent = vec![false; usize::from(size)];
        Self { memory, size, next: 0, published: 0, seen: 0, lent, error: None }
    }

    /// The number of buffers.
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Where the device finds the descriptors, the available ring and the used ring.
    pub fn addresses(&self) -> [PhysAddr; 3] {
        let base = self.memory.bus();
        [base, base + available_at(self.size) as u64, base + used_at(self.size) as u64]
    }

    /// Says where `buffer` is and which way its bytes go. The device must not have it.
    pub fn set_descriptor(&mut self, buffer: u16, address: PhysAddr, len: u32, device_writes: bool) {
        assert!(!self.lent[usize::from(buffer)], "the device must not have the buffer");
        let at = DESCRIPTOR_LEN * usize::from(buffer);
        self.memory.write_u64(at, address.as_u64());
        self.memory.write_u32(at + 8, len);
        self.memory.write_u32(at + 12, if device_writes { DESCRIPTOR_WRITE } else { 0 });
    }

    /// Lends `buffer` to the device, which learns of it by [`Queue::publish`].
    pub fn add(&mut self, buffer: u16) {
        assert!(!core::mem::replace(&mut self.lent[usize::from(buffer)], true), "a buffer is lent once");
        let slot = usize::from(self.next % self.size);
        self.memory.store(available_at(self.size) + 4 + 2 * slot, buffer, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the device what was offered. `true`: it wants to be notified.
    pub fn publish(&mut self) -> bool {
        if self.next == self.published {
            return false;
        }
        self.published = self.next;
        self.memory.store(available_at(self.size) + 2, self.next, Ordering::Release);
        // The device turns notifications on and then looks at the index once more; the fence makes one of us see the
        // other (section 2.7.13.3).
        fence(Ordering::SeqCst);
        self.memory.load(used_at(self.size), Ordering::Relaxed) & NO_NOTIFY == 0
    }

    /// Takes a buffer back from the device.
    pub fn pop_used(&mut self) -> Option<Used> {
        let waiting = self.waiting();
        if self.error.is_some() || waiting == 0 {
            return None;
        }
        let at = used_at(self.size) + 4 + 8 * usize::from(self.seen % self.size);
        let (buffer, len) = (self.memory.read_u32(at), self.memory.read_u32(at + 4));
        if waiting > self.size {
            self.poison(ProtocolError::Index { given_back: waiting, size: self.size });
            return None;
        }
        let Some(lent) = self.lent.get_mut(buffer as usize).filter(|lent| **lent) else {
            self.poison(ProtocolError::Buffer(buffer));
            return None;
        };
        *lent = false;
        self.seen = self.seen.wrapping_add(1);
        Some(Used { buffer: buffer as u16, len })
    }

    /// How many buffers the device has given back that were not taken yet.
    pub fn waiting(&self) -> u16 {
        self.memory.load(used_at(self.size) + 2, Ordering::Acquire).wrapping_sub(self.seen)
    }

    /// The device broke this rule, which may be one of its own kind: the queue is not looked at any more.
    pub fn poison(&mut self, error: ProtocolError) {
        self.error.get_or_insert(error);
    }

    /// How many buffers the device has.
    pub fn in_flight(&self) -> usize {
        self.lent.iter().filter(|&&lent| lent).count()
    }

    /// Whether [`Queue::pop_used`] would give a buffer.
    pub fn has_used(&self) -> bool {
        self.error.is_none() && self.waiting() != 0
    }

    /// The rule that the device broke, if it did.
    pub const fn error(&self) -> Option<ProtocolError> {
        self.error
    }

    /// What turns the device's interrupts for this queue on and off, also from an interrupt handler.
    pub fn interrupts(&self) -> InterruptSwitch {
        InterruptSwitch { flags: self.memory.part(available_at(self.size), 2) }
    }
}

/// Turns a queue's interrupts on and off.
#[derive(Clone, Copy, Debug)]
pub struct InterruptSwitch {
    flags: SharedMemory,
}

impl InterruptSwitch {
    /// No interrupt is wanted. The device may still raise one that was on its way.
    pub fn disable(&self) {
        self.flags.store(0, NO_INTERRUPT, Ordering::Relaxed);
    }

    /// An interrupt is wanted for the next used buffer. Look at the queue once more afterwards: what came before raises
    /// none.
    pub fn enable(&self) {
        self.flags.store(0, 0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
pub mod fake {
    //! The device's side of a queue.

    use std::vec::Vec;

    use super::*;

    /// A device that plays by the rules, unless told otherwise.
    pub struct FakeDevice {
        memory: SharedMemory,
        size: u16,
        seen: u16,
        used: u16,
    }

    /// A descriptor as the device sees it.
    #[derive(Clone, Copy, Debug)]
    pub struct Lent {
        pub id: u16,
        pub address: PhysAddr,
        pub len: u32,
        pub device_writes: bool,
    }

    impl FakeDevice {
        pub fn new(memory: SharedMemory, size: u16) -> Self {
            Self { memory, size, seen: 0, used: 0 }
        }

        /// The buffers that have become available.
        pub fn available(&mut self) -> Vec<Lent> {
            let index = self.memory.load(available_at(self.size) + 2, Ordering::Acquire);
            let mut lent = Vec::new();
            while self.seen != index {
                let slot = usize::from(self.seen % self.size);
                let id = self.memory.load(available_at(self.size) + 4 + 2 * slot, Ordering::Relaxed);
                let at = DESCRIPTOR_LEN * usize::from(id);
                let [low, high] = [at, at + 4].map(|at| u64::from(self.memory.read_u32(at)));
                let address = PhysAddr::new(low | high << 32);
                let (len, flags) = (self.memory.read_u32(at + 8), self.memory.read_u32(at + 12));
                lent.push(Lent { id, address, len, device_writes: flags & DESCRIPTOR_WRITE != 0 });
                self.seen = self.seen.wrapping_add(1);
            }
            lent
        }

        /// Gives a buffer back.
        pub fn give_back(&mut self, id: u32, len: u32) {
            let at = used_at(self.size) + 4 + 8 * usize::from(self.used % self.size);
            self.memory.write_u32(at, id);
            self.memory.write_u32(at + 4, len);
            self.used = self.used.wrapping_add(1);
            self.memory.store(used_at(self.size) + 2, self.used, Ordering::Release);
        }

        pub fn want_notifications(&self, wanted: bool) {
            self.memory.store(used_at(self.size), if wanted { 0 } else { NO_NOTIFY }, Ordering::Relaxed);
        }

        pub fn interrupts_wanted(&self) -> bool {
            self.memory.load(available_at(self.size), Ordering::Relaxed) & NO_INTERRUPT == 0
        }

        pub fn jump(&mut self, index: u16) {
            self.memory.store(used_at(self.size) + 2, index, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::memory::test_support::leaked;
    use super::fake::FakeDevice;
    use super::*;

    fn pair(size: u16) -> (Queue, FakeDevice) {
        let memory = leaked(Queue::bytes(size));
        (Queue::new(memory, size), FakeDevice::new(memory, size))
    }

    #[test]
    fn the_layout_is_the_specifications() {
        // Section 2.7.2, for a queue of 8: 128 bytes of descriptors, 22 available, 70 used.
        assert_eq!((available_at(8), used_at(8), Queue::bytes(8)), (128, 152, 222));
    }

    #[test]
    fn buffers_go_round_and_indices_wrap() {
        let (mut queue, mut device) = pair(4);
        // An interpreter has no time for so many that the indices wrap.
        let rounds = if cfg!(miri) { 300 } else { 70_000 };
        for round in 0..rounds {
            let buffer = (round % 4) as u16;
            let address = PhysAddr::new(0x1000 + u64::from(round));
            queue.set_descriptor(buffer, address, 64, round % 2 == 0);
            queue.add(buffer);
            assert!(queue.publish());
            let lent = device.available();
            assert_eq!((lent.len(), lent[0].id, lent[0].address), (1, buffer, address));
            assert_eq!((lent[0].len, lent[0].device_writes), (64, round % 2 == 0));
            assert_eq!(queue.pop_used(), None);
            device.give_back(buffer.into(), round);
            assert_eq!(queue.pop_used(), Some(Used { buffer, len: round }));
        }
    }

    #[test]
    fn nothing_is_visible_before_it_is_published_and_notified_only_if_wanted() {
        let (mut queue, mut device) = pair(4);
        queue.add(1);
        queue.add(3);
        assert!(device.available().is_empty());
        device.want_notifications(false);
        assert!(!queue.publish());
        assert_eq!(device.available().iter().map(|lent| lent.id).collect::<Vec<_>>(), [1, 3]);
        device.want_notifications(true);
        assert!(!queue.publish(), "there is nothing new");
    }

    #[test]
    fn interrupts_are_switched() {
        let (queue, device) = pair(4);
        let switch = queue.interrupts();
        assert!(device.interrupts_wanted());
        switch.disable();
        assert!(!device.interrupts_wanted());
        switch.enable();
        assert!(device.interrupts_wanted());
    }

    #[test]
    fn a_device_cannot_give_back_what_it_does_not_have() {
        for (id, twice) in [(4, false), (2, false), (0xffff_fff1, false), (1, true)] {
            let (mut queue, mut device) = pair(4);
            queue.add(1);
            queue.publish();
            device.give_back(id, 0);
            if twice {
                assert!(queue.pop_used().is_some());
                device.give_back(id, 0);
            }
            assert_eq!(queue.pop_used(), None);
            assert!(!queue.has_used());
            assert_eq!(queue.error(), Some(ProtocolError::Buffer(id)));
        }
        let (mut queue, mut device) = pair(4);
        queue.add(0);
        queue.publish();
        device.jump(5);
        assert_eq!(queue.pop_used(), None);
        assert_eq!(queue.error(), Some(ProtocolError::Index { given_back: 5, size: 4 }));
        // What comes later does not hide the reason.
        queue.poison(ProtocolError::Buffer(0));
        assert_eq!(queue.error(), Some(ProtocolError::Index { given_back: 5, size: 4 }));
    }

    proptest! {
        #[test]
        fn whatever_the_order_nothing_is_lost(steps in proptest::collection::vec(0u8..4, 1..400)) {
            let (mut queue, mut device) = pair(8);
            let mut free: VecDeque<u16> = (0..8).collect();
            let mut held: VecDeque<u16> = VecDeque::new();
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    0 => if let Some(buffer) = free.pop_front() { queue.add(buffer) },
                    1 => { queue.publish(); held.extend(device.available().iter().map(|lent| lent.id)) }
                    2 => if let Some(id) = held.pop_back() { given.push(id); device.give_back(id.into(), 0) },
                    _ => if let Some(used) = queue.pop_used() { taken.push(used.buffer); free.push_back(used.buffer) },
                }
            }
            while let Some(used) = queue.pop_used() { taken.push(used.buffer) }
            prop_assert_eq!(given, taken);
            prop_assert_eq!(queue.error(), None);
        }

        #[test]
        fn no_rubbish_in_the_used_ring_is_believed(rubbish in proptest::collection::vec((any::<u32>(), any::<u32>()), 1..20)) {
            let (mut queue, mut device) = pair(4);
            for buffer in 0..3 { queue.add(buffer) }
            queue.publish();
            let mut taken = Vec::new();
            for (id, len) in rubbish {
                device.give_back(id % 6, len);
                taken.extend(queue.pop_used().map(|used| used.buffer));
            }
            taken.sort_unstable();
            taken.dedup();
            prop_assert!(taken.iter().all(|&buffer| buffer < 3));
        }
    }
}
