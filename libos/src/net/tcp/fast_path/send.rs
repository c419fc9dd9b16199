//! What goes out on the fast path.

use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{TCP_HEADER_LEN, TcpPacket};

use super::{Acknowledgement, FastPath, RETRANSMISSION_TIMEOUT};

/// Flags of a segment (RFC 9293, section 3.1).
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const RST: u8 = 0x04;

/// What came of a turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that can go has gone.
    Done,
    /// There is more, for another turn.
    More,
    /// The device has no room.
    Full,
    /// What was under way counts as lost: smoltcp is to send it again.
    Lost,
    /// The peer has been silent for too long.
    Silent,
}

/// A segment that is due.
enum Due {
    /// So many bytes of data, or an acknowledgement alone.
    Bytes(usize),
    /// A question for a sign of life: a byte that the peer has got already (RFC 1122, section 4.2.3.6).
    KeepAlive,
    /// A reset.
    Reset,
}

/// The earlier of two times that there may be.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl FastPath {
    /// Sends what can go now, `most` segments at most.
    pub fn send<D: Device>(&mut self, device: &mut D, most: usize, now: Instant) -> Outcome {
        if self.silence_ends().is_some_and(|at| at <= now) {
            return Outcome::Silent;
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            return Outcome::Lost;
        }
        for _ in 0..most {
            let Some(due) = self.due(now) else { return Outcome::Done };
            if !self.emit(device, due, now) {
                return Outcome::Full;
            }
        }
        Outcome::More
    }

    /// Tells the peer that the connection is reset, if the device has room. A peer believes it only with the number
    /// behind all that was sent.
    pub fn reset<D: Device>(&mut self, device: &mut D, now: Instant) {
        let _ = self.emit(device, Due::Reset, now);
    }

    /// Whether what has come waits for its acknowledgement.
    pub fn owes(&self) -> bool {
        self.acknowledgement != Acknowledgement::None
    }

    /// Acknowledges all that has come by this frame, before smoltcp takes over.
    pub fn acknowledge<T: TxToken>(&mut self, frame: T, now: Instant) {
        // Who completes checksums does not care what is there.
        self.write(frame, true, Due::Bytes(0), now);
    }

    /// When a turn to send is due though nothing happens.
    pub fn next_turn(&self) -> Option<Instant> {
        let later = self.retransmit_at.or_else(|| self.keep_alive_at());
        earlier(self.acknowledge_at(), earlier(later, self.silence_ends()))
    }

    /// When what has come is acknowledged, if that waits.
    pub fn acknowledge_at(&self) -> Option<Instant> {
        match self.acknowledgement {
            Acknowledgement::Delayed(at) => Some(at),
            _ => None,
        }
    }

    /// When an idle peer is asked for a sign of life.
    fn keep_alive_at(&self) -> Option<Instant> {
        self.keep_alive.period().filter(|_| self.flight() == 0).map(|period| self.active + period)
    }

    /// When a peer that stays silent is given up.
    fn silence_ends(&self) -> Option<Instant> {
        self.keep_alive.timeout().map(|timeout| self.heard + timeout)
    }

    fn due(&self, now: Instant) -> Option<Due> {
        let flight = self.flight();
        let allowed = self.window.min(self.congestion_window).saturating_sub(flight);
        let sendable = (self.sent.len() - flight).min(allowed);
        let waits = self.nagle && flight > 0 && sendable < self.segment_len;
        if sendable > 0 && !waits {
            return Some(Due::Bytes(sendable.min(self.segment_len)));
        }
        let acknowledges = match self.acknowledgement {
            Acknowledgement::None => false,
            Acknowledgement::Delayed(at) => at <= now,
            Acknowledgement::Now => true,
        };
        if acknowledges || self.window_has_doubled() {
            return Some(Due::Bytes(0));
        }
        self.keep_alive_at().is_some_and(|at| at <= now).then_some(Due::KeepAlive)
    }

    /// Whether the peer should hear at once of the room that it has (as Linux and smoltcp do: when it has doubled).
    fn window_has_doubled(&self) -> bool {
        let (acknowledged, window) = self.told;
        let left = (usize::from(window) << self.scale).saturating_sub(self.expected - acknowledged);
        let window = usize::from(self.own_window());
        window > 0 && window / 2 >= left >> self.scale
    }

    /// Sends a segment; `false`: the device has no room.
    fn emit<D: Device>(&mut self, device: &mut D, due: Due, now: Instant) -> bool {
        let fill = device.capabilities().checksum.tcp.tx();
        let Some(token) = device.transmit(now) else { return false };
        self.write(token, fill, due, now);
        true
    }

    /// Sends a segment by `token`. `fill`: with its checksum.
    fn write<T: TxToken>(&mut self, token: T, fill: bool, due: Due, now: Instant) {
        let flight = self.flight();
        let (number, len, flags) = match due {
            Due::Bytes(len @ 1..) if flight + len == self.sent.len() => (self.next, len, ACK | PSH),
            Due::Bytes(len) => (self.next, len, ACK),
            Due::KeepAlive => (self.next - 1, 1, ACK),
            Due::Reset => (self.next, 0, ACK | RST),
        };
        let window = self.own_window();
        let Self { headers, sent, tuple, expected, .. } = self;
        token.consume(headers.len() + TCP_HEADER_LEN + len, |frame| {
            let segment = headers.write(frame);
            let (header, payload) = segment.split_at_mut(TCP_HEADER_LEN);
            header[0..2].copy_from_slice(&tuple.local.port.to_be_bytes());
            header[2..4].copy_from_slice(&tuple.remote.port.to_be_bytes());
            header[4..8].copy_from_slice(&number.0.to_be_bytes());
            header[8..12].copy_from_slice(&expected.0.to_be_bytes());
            header[12] = (TCP_HEADER_LEN as u8 / 4) << 4;
            header[13] = flags;
            header[14..16].copy_from_slice(&window.to_be_bytes());
            header[16..].fill(0);
            match due {
                Due::Bytes(_) => _ = sent.read_allocated(flight, payload),
                Due::KeepAlive | Due::Reset => payload.fill(0),
            }
            if fill {
                TcpPacket::new_unchecked(segment).fill_checksum(&tuple.local.addr, &tuple.remote.addr);
            }
        });
        self.active = now;
        self.acknowledgement = Acknowledgement::None;
        self.told = (self.expected, window);
        if let Due::Bytes(len @ 1..) = due {
            self.next += len;
            self.retransmit_at.get_or_insert(now + RETRANSMISSION_TIMEOUT);
        }
    }
}
