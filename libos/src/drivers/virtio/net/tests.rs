//! The card with a fake device behind its queues.

mod large;

use core::cell::Cell;
use std::rc::Rc;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

use super::super::memory::SharedMemory;
use super::super::memory::test_support::leaked;
use super::super::queue::Queue;
use super::super::queue::fake::{FakeDevice, Lent};
use super::card::{Card, Doorbell};
use super::features::Offload;

const NOW: Instant = Instant::ZERO;

#[derive(Clone, Default)]
struct Bell(Rc<Cell<[u32; 2]>>);

impl Doorbell for Bell {
    fn ring(&mut self, queue: u16) {
        let mut rings = self.0.get();
        rings[usize::from(queue)] += 1;
        self.0.set(rings);
    }
}

struct Machine {
    card: Card<Bell>,
    receive: FakeDevice,
    transmit: FakeDevice,
    lent: Vec<Lent>,
    receive_buffers: SharedMemory,
    transmit_buffers: SharedMemory,
    bell: Bell,
}

fn machine(size: u16, offload: Offload) -> Machine {
    let bell = Bell::default();
    let rings = [(); 2].map(|()| leaked(Queue::bytes(size)));
    let buffers = Card::<Bell>::buffer_bytes(size, size, offload).map(leaked);
    let card = Card::new(
        Queue::new(rings[0], size),
        Queue::new(rings[1], size),
        buffers[0],
        buffers[1],
        bell.clone(),
        offload,
    );
    let mut receive = FakeDevice::new(rings[0], size);
    let lent = receive.available();
    Machine {
        card,
        receive,
        transmit: FakeDevice::new(rings[1], size),
        lent,
        receive_buffers: buffers[0],
        transmit_buffers: buffers[1],
        bell,
    }
}

impl Machine {
    /// The device receives a frame.
    fn arrive(&mut self, flags: u8, frame: &[u8]) {
        let lent = self.lent.remove(0);
        assert!(lent.device_writes && lent.len >= 1526);
        let offset = (lent.address - self.receive_buffers.bus()) as usize;
        let mut part = self.receive_buffers.part(offset, 12 + frame.len());
        // SAFETY: the buffer is the device's, which is this test.
        let bytes = unsafe { part.bytes_mut() };
        bytes.fill(0);
        bytes[0] = flags;
        bytes[12..].copy_from_slice(frame);
        self.receive.give_back(lent.id.into(), 12 + frame.len() as u32);
    }

    fn received(&mut self) -> Option<Vec<u8>> {
        let (token, _) = self.card.receive(NOW)?;
        Some(token.consume(<[u8]>::to_vec))
    }

    fn send(&mut self, frame: &[u8]) -> bool {
        let Some(token) = self.card.transmit(NOW) else { return false };
        token.consume(frame.len(), |into| into.copy_from_slice(frame));
        true
    }

    /// The device takes what is to be sent: header and frame of each.
    fn sent(&mut self) -> Vec<(Lent, Vec<u8>, Vec<u8>)> {
        let buffers = self.transmit_buffers;
        let read = |lent: Lent| {
            let offset = (lent.address - buffers.bus()) as usize;
            let mut part = buffers.part(offset, lent.len as usize);
            // SAFETY: the buffer is the device's, which is this test.
            let bytes = unsafe { part.bytes_mut() };
            (lent, bytes[..12].to_vec(), bytes[12..].to_vec())
        };
        self.transmit.available().into_iter().map(read).collect()
    }
}

#[test]
fn frames_are_received_and_their_buffers_go_back() {
    let mut machine = machine(32, Offload::default());
    assert_eq!(machine.lent.len(), 32, "every buffer is the device's");
    for round in 0..100u8 {
        machine.arrive(0, &[round; 60]);
        assert!(machine.card.has_received());
        assert_eq!(machine.received().unwrap(), [round; 60]);
        assert_eq!(machine.received(), None);
        machine.card.flush();
        machine.lent.extend(machine.receive.available());
        assert_eq!(machine.lent.len(), 32);
    }
    assert_eq!(machine.card.failure(), None);
}

#[test]
fn a_token_that_is_dropped_gives_its_buffer_back() {
    let mut machine = machine(4, Offload::default());
    machine.arrive(0, &[1; 60]);
    drop(machine.card.receive(NOW));
    machine.card.flush();
    assert_eq!(machine.receive.available().len(), 1);
}

#[test]
fn lengths_from_the_device_are_bounded() {
    let mut machine = machine(4, Offload::default());
    for (said, seen) in [(u32::MAX, 1514), (5, 0), (0, 0), (2000, 1514), (12, 0)] {
        let lent = machine.lent.remove(0);
        machine.receive.give_back(lent.id.into(), said);
        assert_eq!(machine.received().unwrap().len(), seen);
        machine.card.flush();
        machine.lent.extend(machine.receive.available());
    }
}

#[test]
fn frames_are_sent_with_one_notification_for_all() {
    let mut machine = machine(8, Offload::default());
    machine.card.flush();
    let before = machine.bell.0.get()[1];
    for n in 0..5 {
        assert!(machine.send(&vec![n; 60 + usize::from(n)]));
    }
    assert!(machine.sent().is_empty(), "not before the flush");
    machine.card.flush();
    machine.card.flush();
    assert_eq!(machine.bell.0.get()[1], before + 1);
    let sent = machine.sent();
    assert_eq!(sent.len(), 5);
    for (n, (lent, header, frame)) in sent.into_iter().enumerate() {
        assert!(!lent.device_writes);
        assert_eq!((header, frame), (vec![0; 12], vec![n as u8; 60 + n]));
    }
}

#[test]
fn a_full_ring_asks_for_an_interrupt_and_goes_on_after_it() {
    let mut machine = machine(4, Offload::default());
    assert!(!machine.transmit.interrupts_wanted());
    for _ in 0..4 {
        assert!(machine.send(&[1; 60]));
    }
    assert!(!machine.send(&[1; 60]));
    assert!(machine.transmit.interrupts_wanted());
    machine.arrive(0, &[2; 60]);
    assert_eq!(machine.received(), None, "an answer could not be sent");
    let sent = machine.sent();
    assert_eq!(sent.len(), 4, "a full ring was shown to the device");
    for (lent, _, _) in sent {
        machine.transmit.give_back(lent.id.into(), 0);
    }
    assert!(machine.send(&[1; 60]));
    assert!(!machine.transmit.interrupts_wanted());
    assert!(machine.received().is_some());
}

#[test]
fn the_device_completes_checksums_when_it_can() {
    let mut frame = vec![0; 14 + 20 + 20];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
    frame[46] = 0x50;
    for transmit in [false, true] {
        let mut machine = machine(4, Offload { transmit, ..Offload::default() });
        assert!(machine.send(&frame));
        machine.card.flush();
        let (_, header, sent) = machine.sent().remove(0);
        if transmit {
            assert_eq!((header[0], &header[6..10]), (1, &[34, 0, 16, 0][..]));
            assert_eq!(sent[50..52], [0, 26], "the pseudo header: protocol 6 and 20 bytes");
        } else {
            assert_eq!((header, sent), (vec![0; 12], frame.clone()));
        }
    }
}

#[test]
fn frames_that_the_device_has_not_checked_are_checked_here() {
    let mut frame = vec![0; 14 + 20 + 20];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
    frame[46] = 0x50;
    let mut machine = machine(4, Offload { receive: true, ..Offload::default() });
    for (flags, passes) in [(0, false), (1, true), (2, true)] {
        machine.arrive(flags, &frame);
        assert_eq!(machine.received().unwrap().is_empty(), !passes);
    }
}

#[test]
fn what_the_device_did_wrong_is_said_once() {
    let mut machine = machine(4, Offload::default());
    machine.arrive(0, &[1; 60]);
    assert!(machine.received().is_some());
    assert_eq!(machine.card.take_failure(), None);
    machine.receive.give_back(9, 100);
    assert_eq!(machine.received(), None);
    let failure = machine.card.take_failure().unwrap().to_string();
    assert_eq!(failure, "the device gave back buffer 9, which it did not have, in the receive queue");
    assert_eq!(machine.received(), None);
    // Nor is it said of the other queue: there is no network already.
    machine.transmit.jump(5);
    machine.card.traffic();
    assert_eq!(machine.card.take_failure(), None);
}

#[test]
fn an_index_that_cannot_be_is_said_of_the_queue_that_has_it() {
    let mut machine = machine(4, Offload::default());
    machine.transmit.jump(5);
    assert_eq!(machine.card.take_failure(), None, "nobody has looked");
    machine.card.traffic();
    let failure = machine.card.take_failure().unwrap().to_string();
    assert_eq!(failure, "the device gave back 5 of 4 buffers, in the transmit queue");
}
