//! What comes on the fast path.

use smoltcp::time::Instant;
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

use super::{Acknowledgement, FastPath, RETRANSMISSION_TIMEOUT};
use crate::net::tcp::timers::ACK_DELAY;

/// So many acknowledgements of nothing new say that a segment was lost (RFC 5681, section 3.2).
const LOSS: u8 = 3;

/// What has become of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken.
    Whole,
    /// It was taken, and something can be sent now.
    Answerable,
    /// It was not, and smoltcp is to have it.
    Odd,
    /// The same, and what is under way was lost.
    Loss,
}

impl FastPath {
    /// Takes a segment, if it is what nearly all are. `combined`: the device has put it together from several.
    pub fn receive(&mut self, segment: &TcpPacket<&[u8]>, combined: bool, now: Instant) -> Taken {
        let payload = segment.payload();
        let plain = segment.ack() && !(segment.syn() || segment.fin() || segment.rst() || segment.urg());
        let (number, acknowledged) = (segment.seq_number(), segment.ack_number());
        let window = usize::from(segment.window_len()) << self.peer.scale().unwrap_or(0);
        if plain && number + 1 == self.expected && payload.len() <= 1 {
            // It asks for a sign of life (RFC 1122, section 4.2.3.6).
            (self.heard, self.active) = (now, now);
            self.acknowledgement = Acknowledgement::Now;
            return Taken::Answerable;
        }
        if !plain || number != self.expected || payload.len() > self.received.window() || window == 0 {
            return Taken::Odd;
        }
        if acknowledged < self.unacknowledged || acknowledged > self.next {
            return Taken::Odd;
        }
        let repeats = payload.is_empty() && acknowledged == self.unacknowledged && window == self.window;
        if !repeats || self.flight() == 0 {
            self.duplicates = 0;
        } else if self.duplicates + 1 >= LOSS {
            return Taken::Loss;
        } else {
            self.duplicates += 1;
        }
        (self.heard, self.active) = (now, now);
        (self.window, self.peer.window) = (window, segment.window_len());
        self.advance(acknowledged, now);
        if !payload.is_empty() {
            self.expected += self.received.enqueue_slice(payload);
            self.owe(combined, now);
        }
        match self.acknowledgement == Acknowledgement::Now || self.sent.len() > self.flight() {
            true => Taken::Answerable,
            false => Taken::Whole,
        }
    }

    /// All before `acknowledged` has arrived.
    fn advance(&mut self, acknowledged: TcpSeqNumber, now: Instant) {
        let count = acknowledged - self.unacknowledged;
        if count == 0 {
            return;
        }
        self.sent.dequeue_allocated(count);
        self.unacknowledged = acknowledged;
        // Nothing was lost on the fast path, so this is slow start (RFC 5681, section 3.1).
        self.congestion_window = self.congestion_window.saturating_add(count.min(self.segment_len));
        self.retransmit_at = (self.flight() > 0).then(|| now + RETRANSMISSION_TIMEOUT);
    }

    /// Bytes have come. Of two segments, one at least is acknowledged at once (RFC 9293, section 3.8.6.3).
    fn owe(&mut self, combined: bool, now: Instant) {
        let unacknowledged = self.expected - self.told.0;
        self.acknowledgement = match self.acknowledgement {
            Acknowledgement::None if combined => Acknowledgement::Now,
            Acknowledgement::None => Acknowledgement::Delayed(now + ACK_DELAY),
            Acknowledgement::Delayed(_) if unacknowledged > self.peer.segment_len() => Acknowledgement::Now,
            waiting => waiting,
        };
    }
}
