//! The fast path: an established connection while all goes well on it.
//!
//! Nearly every segment is the next one in order, of a connection that neither begins nor ends, to a neighbour that is
//! known ("header prediction", V. Jacobson 1990). A few comparisons and one copy do for it: `receive` takes what comes,
//! `send` sends what is to go, both by the numbers of RFC 9293, section 3.3.1. Whatever else befalls a connection is
//! *odd*, and smoltcp's: it gets the connection with all that is queued (`handover`), and when nothing odd has come for
//! a while, the fast path has it back.
//!
//! What goes out is what smoltcp would send, frame for frame, and a test compares them. One thing differs: how much may
//! be under way before the first acknowledgement is by RFC 6928 here, and two kilobytes there.

mod handover;
mod headers;
mod receive;
mod send;

use smoltcp::socket::tcp::SocketBuffer;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpSeqNumber;

pub use self::handover::{CALM, Flight};
pub use self::headers::Headers;
pub use self::receive::Taken;
pub use self::send::Outcome;
use super::segment::Peer;
use super::settings::KeepAlive;
use crate::net::frame::Tuple;

/// What is not acknowledged within this time is sent again, by smoltcp: its shortest time, and RFC 6298's. So none is
/// measured here, and who is further away leaves the fast path once.
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether what has come waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledgement {
    /// There is nothing to acknowledge.
    None,
    /// It may ride on an answer until then.
    Delayed(Instant),
    /// It goes as soon as anything can go.
    Now,
}

/// A connection on the fast path.
pub struct FastPath {
    tuple: Tuple,
    /// What the peer has said of itself, and the last window in a header of its.
    peer: Peer,
    /// What has come and was not read.
    pub(super) received: SocketBuffer<'static>,
    /// What is under way to the peer and not acknowledged, and behind it what was not sent yet.
    pub(super) sent: SocketBuffer<'static>,
    /// The beginning of every frame to the peer.
    headers: Headers,
    /// The oldest number that is not acknowledged (SND.UNA).
    unacknowledged: TcpSeqNumber,
    /// The next number to be sent (SND.NXT).
    next: TcpSeqNumber,
    /// The bytes for which the peer has room (SND.WND).
    window: usize,
    /// The next number to come (RCV.NXT).
    expected: TcpSeqNumber,
    /// The last number that was acknowledged to the peer, and the window in that header.
    told: (TcpSeqNumber, u16),
    /// By how many bits windows to the peer are shifted.
    scale: u8,
    /// The most bytes in a segment to the peer.
    segment_len: usize,
    /// The most bytes that may be under way.
    congestion_window: usize,
    /// Small segments wait for the acknowledgement of earlier ones.
    nagle: bool,
    acknowledgement: Acknowledgement,
    /// When what is under way counts as lost.
    retransmit_at: Option<Instant>,
    /// Acknowledgements of nothing new in a row.
    duplicates: u8,
    keep_alive: KeepAlive,
    hop_limit: Option<u8>,
    /// When the peer was last heard.
    heard: Instant,
    /// When the peer was last heard or spoken to.
    active: Instant,
}

impl FastPath {
    /// Bytes under way.
    fn flight(&self) -> usize {
        self.next - self.unacknowledged
    }

    /// The window as a header to the peer has it.
    fn own_window(&self) -> u16 {
        u16::try_from(self.received.window() >> self.scale).unwrap_or(u16::MAX)
    }

    /// Whether neither bytes nor acknowledgements are under way, nor unread.
    pub fn rests(&self) -> bool {
        self.received.is_empty() && self.sent.is_empty() && self.told.0 == self.expected
    }

    /// Whether buffers of these sizes, for receiving and for sending, hold what is queued.
    pub fn fits(&self, (receive, send): (usize, usize)) -> bool {
        self.received.len() <= receive && self.sent.len() <= send
    }

    /// Goes on with these buffers, which hold what is queued.
    pub fn resize(&mut self, receive: SocketBuffer<'static>, send: SocketBuffer<'static>) {
        move_into(&mut self.received, receive);
        move_into(&mut self.sent, send);
    }
}

/// Replaces a buffer by another one, and moves what is queued into it.
fn move_into(buffer: &mut SocketBuffer<'static>, other: SocketBuffer<'static>) {
    let mut old = core::mem::replace(buffer, other);
    while old.dequeue_many_with(|bytes| (buffer.enqueue_slice(bytes), ())).0 > 0 {}
}
