//! Frames that span several buffers, and devices that say so wrongly.

use proptest::prelude::*;

use super::super::receiver::LONGEST_FRAME;
use super::*;

const LARGE: Offload = Offload { transmit: false, receive: true, large: true };
/// Each buffer's length.
const BUFFER: usize = 4096;
/// In the header's second byte: TCP segments over IPv4 and over IPv6, and with a bit for congestion notification.
const KINDS: [u8; 3] = [1, 4, 0x81];

/// A piece of a frame as the device gives it: the bytes that it writes, and the length that it says.
type Piece = (Vec<u8>, u32);

/// A header: the checksum is to be completed, `kind` of segments, `buffers`.
fn header(kind: u8, buffers: u16) -> Vec<u8> {
    let [low, high] = buffers.to_le_bytes();
    vec![1, kind, 0, 0, 0, 0, 0, 0, 0, 0, low, high]
}

/// A frame with its header, in pieces as a device that plays by the rules makes them.
fn pieces(kind: u8, frame: &[u8]) -> Vec<Piece> {
    let count = (12 + frame.len()).div_ceil(BUFFER);
    let whole = [header(kind, count as u16), frame.to_vec()].concat();
    whole.chunks(BUFFER).map(|piece| (piece.to_vec(), piece.len() as u32)).collect()
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

impl Machine {
    /// The device uses a buffer for each piece.
    fn use_buffers(&mut self, pieces: &[Piece]) {
        for (bytes, said) in pieces {
            let lent = self.lent.remove(0);
            assert!(lent.device_writes && lent.len as usize == BUFFER);
            let mut part = self.receive_buffers.part((lent.address - self.receive_buffers.bus()) as usize, BUFFER);
            // SAFETY: the buffer is the device's, which is this test.
            let buffer = unsafe { part.bytes_mut() };
            buffer[..bytes.len()].copy_from_slice(bytes);
            self.receive.give_back(lent.id.into(), *said);
        }
    }

    /// Everything that has come, and how many buffers the device has afterwards.
    fn drain(&mut self) -> (Vec<Vec<u8>>, usize) {
        let frames = core::iter::from_fn(|| self.received()).collect();
        self.card.flush();
        self.lent.extend(self.receive.available());
        (frames, self.lent.len())
    }

    /// What comes of these pieces, after which every buffer is the device's again and the next frame arrives.
    fn outcome(&mut self, pieces: &[Piece]) -> Vec<Vec<u8>> {
        let all = self.lent.len();
        self.use_buffers(pieces);
        let (frames, left) = self.drain();
        assert_eq!(left, all, "no buffer is lost");
        assert_eq!(self.card.failure(), None);
        let next = frame(9000);
        self.use_buffers(&large::pieces(1, &next));
        assert_eq!(self.drain(), (vec![next], all));
        frames
    }
}

#[test]
fn frames_of_any_length_are_put_together() {
    let mut machine = machine(32, LARGE);
    let lengths = [60, 1514, 4084, 4085, 8180, 8181, 20_000, LONGEST_FRAME - 1, LONGEST_FRAME];
    for (len, kind) in lengths.into_iter().flat_map(|len| KINDS.map(|kind| (len, kind))) {
        let sent = frame(len);
        assert_eq!(machine.outcome(&pieces(kind, &sent)), [sent]);
    }
    assert_eq!(machine.card.traffic().received_bytes, 3 * (lengths.iter().sum::<usize>() + 9000 * 9) as u64);
}

#[test]
fn however_few_buffers_there_are_they_hold_the_longest_frame() {
    for (size, each) in [(1, 69_632), (2, 36_864), (16, 8192), (32, BUFFER), (256, BUFFER)] {
        let machine = machine(size, LARGE);
        assert!(machine.lent.len() == usize::from(size) && each * machine.lent.len() >= 12 + LONGEST_FRAME);
        assert!(machine.lent.iter().all(|lent| lent.len as usize == each), "{size}");
    }
}

#[test]
fn several_frames_that_wait_are_told_apart() {
    let mut machine = machine(64, LARGE);
    let sent = [5000, 60, 65_000, 4084, 30_000].map(frame);
    for sent in &sent {
        machine.use_buffers(&pieces(1, sent));
    }
    assert_eq!(machine.drain(), (sent.to_vec(), 64));
}

#[test]
fn a_frame_that_is_dropped_unread_gives_its_buffers_back() {
    let mut machine = machine(32, LARGE);
    for len in [60, 20_000] {
        machine.use_buffers(&pieces(1, &frame(len)));
        drop(machine.card.receive(NOW));
        assert_eq!(machine.drain(), (vec![], 32));
    }
}

#[test]
fn only_segments_may_be_longer_than_the_links_frames() {
    let mut machine = machine(32, LARGE);
    // None, UDP fragments, UDP datagrams, and one that nobody knows.
    for kind in [0, 3, 5, 0x7f] {
        for len in [1515, 4000, 20_000] {
            assert_eq!(machine.outcome(&pieces(kind, &frame(len))), [vec![]], "{kind} {len}");
        }
        assert_eq!(machine.outcome(&pieces(kind, &frame(1514))), [frame(1514)]);
    }
}

#[test]
fn a_large_frame_that_the_device_has_not_checked_is_checked_here() {
    let mut segment = frame(20_000);
    segment[12..14].copy_from_slice(&[8, 0]);
    segment[14..24].copy_from_slice(&[0x45, 0, 0x4e, 0x12, 0, 0, 0, 0, 64, 6]);
    segment[46] = 0x50;
    let mut machine = machine(32, LARGE);
    for (flags, passes) in [(0, false), (1, true), (2, true)] {
        let mut pieces = pieces(1, &segment);
        pieces[0].0[0] = flags;
        assert_eq!(machine.outcome(&pieces)[0].is_empty(), !passes);
    }
}

#[test]
fn frames_that_are_not_what_the_device_says_are_dropped_and_their_buffers_go_back() {
    let mut machine = machine(64, LARGE);
    let sent = frame(20_000);
    let mut damaged = |damage: fn(&mut Vec<Piece>)| {
        let mut pieces = pieces(1, &sent);
        damage(&mut pieces);
        machine.outcome(&pieces)
    };
    let dropped = [Vec::<u8>::new()];
    // A first or a middle piece that is not full; pieces that are longer than their buffers.
    assert_eq!(damaged(|pieces| pieces[0].1 = 4095), dropped);
    assert_eq!(damaged(|pieces| pieces[2].1 = 4095), dropped);
    assert_eq!(damaged(|pieces| pieces[2].1 = 0), dropped);
    assert_eq!(damaged(|pieces| pieces[0].1 = 4097), dropped);
    assert_eq!(damaged(|pieces| pieces[1].1 = u32::MAX), dropped);
    assert_eq!(damaged(|pieces| pieces[4].1 = 4097), dropped);
    // More than any frame has, in buffers that are there.
    assert_eq!(machine.outcome(&pieces(1, &frame(LONGEST_FRAME + 1))), dropped);
    assert_eq!(machine.outcome(&pieces(1, &frame(40 * BUFFER))), dropped);
    // One buffer: no header, more than the buffer, and a header that says that there is none.
    for said in [0, 5, 11, 4097, u32::MAX] {
        assert_eq!(machine.outcome(&[(header(1, 1), said)]), dropped, "{said}");
    }
    for said in [12, 60, 4096] {
        assert_eq!(machine.outcome(&[(header(1, 0), said)]), dropped, "{said}");
    }
    // A header that was not written is not believed.
    assert_eq!(machine.outcome(&[(header(1, 5), 11)]), dropped);
}

#[test]
fn a_device_that_does_not_show_all_buffers_of_a_frame_is_broken() {
    for (shown, says) in [(1, 2), (1, 33), (3, 5), (1, u16::MAX), (16, 17), (32, 33)] {
        let mut machine = machine(32, LARGE);
        let mut pieces = vec![(vec![], BUFFER as u32); shown];
        pieces[0].0 = header(1, says);
        machine.use_buffers(&pieces);
        assert_eq!(machine.received(), Some(vec![]));
        let failure = machine.card.take_failure().unwrap().to_string();
        let expected = format!(
            "the device gave back {shown} of the {says} buffers that it said a frame has, in the receive queue"
        );
        assert_eq!(failure, expected);
        assert!(!machine.card.has_received());
        assert_eq!(machine.received(), None);
    }
}

#[test]
fn a_buffer_that_the_device_does_not_have_breaks_the_queue_in_the_middle_of_a_frame_too() {
    for rubbish in [32, 0x1_0000, u32::MAX] {
        let mut machine = machine(32, LARGE);
        machine.use_buffers(&pieces(1, &frame(20_000))[..2]);
        machine.receive.give_back(rubbish, BUFFER as u32);
        machine.receive.give_back(5, BUFFER as u32);
        machine.receive.give_back(6, 100);
        assert_eq!(machine.received(), Some(vec![]), "{rubbish}");
        assert!(machine.card.failure().is_some());
        assert_eq!(machine.received(), None);
    }
}

proptest! {
    #[test]
    fn whatever_the_lengths_frames_arrive_in_order(
        lengths in proptest::collection::vec((0..=LONGEST_FRAME, 0..3usize, any::<bool>()), 1..12),
    ) {
        let mut machine = machine(64, LARGE);
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for (len, kind, looks) in lengths {
            let pieces = pieces(KINDS[kind], &frame(len));
            if looks || machine.lent.len() < pieces.len() {
                received.extend(machine.drain().0);
            }
            machine.use_buffers(&pieces);
            sent.push(frame(len));
        }
        let (rest, left) = machine.drain();
        received.extend(rest);
        prop_assert!(received == sent);
        prop_assert_eq!(left, 64);
        prop_assert_eq!(machine.card.failure(), None);
    }

    #[test]
    fn no_device_says_what_does_harm(
        uses in proptest::collection::vec(
            (any::<u8>(), 0..8u16, any::<u16>(), prop_oneof![Just(4096u32), 0..5000u32, any::<u32>()], any::<bool>()),
            1..200,
        ),
    ) {
        let mut machine = machine(32, LARGE);
        for (kind, few, many, said, looks) in uses {
            if machine.lent.is_empty() || looks {
                let (frames, left) = machine.drain();
                prop_assert!(frames.iter().all(|frame| frame.len() <= LONGEST_FRAME));
                if machine.card.failure().is_some() {
                    break;
                }
                prop_assert_eq!(left, 32, "no buffer is lost");
            }
            let buffers = if many < 1000 { many } else { few };
            machine.use_buffers(&[(header(kind & 5, buffers), said)]);
        }
        let (_, left) = machine.drain();
        prop_assert!(left == 32 || machine.card.failure().is_some());
        prop_assert!(machine.received().is_none());
    }
}
