//! What a program may set of a connection.

use smoltcp::time::Duration;

use super::connection::LEAST_BUFFER;

/// Whether and how an idle peer is asked whether it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// It is asked.
    pub on: bool,
    /// The silence after which it is asked, in seconds (`TCP_KEEPIDLE`).
    pub idle: u32,
    /// The time between two questions, in seconds (`TCP_KEEPINTVL`).
    pub interval: u32,
    /// The questions without an answer after which it is gone (`TCP_KEEPCNT`).
    pub count: u32,
}

impl Default for KeepAlive {
    /// On from the start: `std` has no way to turn it on, and a server must not keep a connection for ever whose peer
    /// lost its power.
    fn default() -> Self {
        Self { on: true, idle: 60, interval: 60, count: 4 }
    }
}

impl KeepAlive {
    /// How often the peer is asked: smoltcp knows one interval, and an early question does no harm.
    pub fn period(&self) -> Option<Duration> {
        self.on.then(|| Duration::from_secs(self.idle.min(self.interval).into()))
    }

    /// The silence after which the peer is gone. smoltcp counts any silence, so it makes sense only while it is asked.
    pub fn timeout(&self) -> Option<Duration> {
        let seconds = u64::from(self.idle) + u64::from(self.interval) * u64::from(self.count);
        self.on.then(|| Duration::from_secs(seconds))
    }
}

/// Bytes of buffer that a program wants to have for each direction; 0 leaves it to the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferSizes {
    /// `SO_RCVBUF`.
    pub receive: usize,
    /// `SO_SNDBUF`.
    pub send: usize,
}

impl BufferSizes {
    /// The least that makes sense, and how many times the usual may be wished for.
    const LEAST: usize = 4096;
    const TIMES: usize = 4;

    /// What is granted where `usual` is what others get: for receiving and for sending.
    pub fn capacities(self, usual: usize) -> (usize, usize) {
        let grant = |wish: usize| match wish {
            0 => usual,
            // There is no room for more.
            _ if usual <= LEAST_BUFFER => usual,
            wish => wish.clamp(Self::LEAST, usual.max(Self::LEAST) * Self::TIMES),
        };
        (grant(self.receive), grant(self.send))
    }
}
