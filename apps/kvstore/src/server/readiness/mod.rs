//! Which sockets have become ready, told once for each change: on Linux by mio, on the guest by libos itself, where mio
//! has only poll(2) and has to be told of every readiness that is used up.

#[cfg(target_os = "hermit")]
mod guest;
#[cfg(not(target_os = "hermit"))]
mod host;

#[cfg(target_os = "hermit")]
pub use guest::{Poller, Stopper};
#[cfg(not(target_os = "hermit"))]
pub use host::{Poller, Stopper};

/// Whose news it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// There may be connections to accept.
    Listener,
    /// Somebody wants the server to stop.
    Stopper,
    /// The connection with this index.
    Connection(usize),
}

/// What a socket has become ready for. Trying will tell whether it still is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// There is something to read, or an end or a failure.
    pub readable: bool,
    /// There is room to write, or a failure.
    pub writable: bool,
    /// Behind what can be read there is an end, or a failure.
    pub hung_up: bool,
}

/// Most events taken in one round.
const EVENTS: usize = 1024;
/// The tokens that are no connection's index.
const LISTENER: usize = usize::MAX;
const STOPPER: usize = usize::MAX - 1;

impl Source {
    /// Whose news has this token.
    fn of(token: usize) -> Self {
        match token {
            LISTENER => Self::Listener,
            STOPPER => Self::Stopper,
            index => Self::Connection(index),
        }
    }
}
