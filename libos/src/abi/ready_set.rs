//! Sets of sockets for programs, which name them by their descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::fd::object;
use crate::io;
pub use crate::io::{Event, Ready};

/// Sockets that say by themselves when they become ready, as with Linux's epoll(7), edge-triggered: an event comes when
/// a socket becomes ready for what it was not ready for before, and whoever gets it reads or writes until there is less
/// than was asked for. A socket leaves the set when it is closed.
#[derive(Debug, Default)]
pub struct ReadySet(io::ReadySet);

/// Ends a wait of a set, from any thread.
#[derive(Debug)]
pub struct Waker(Arc<io::Member>);

/// Why a descriptor is not in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// It is not open, or no socket.
    NoSocket,
    /// It is in a set already.
    Taken,
    /// Memory is short.
    NoMemory,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSocket => "the descriptor is no socket",
            Self::Taken => "the socket is in a set already",
            Self::NoMemory => "there is no memory for a place in the set",
        })
    }
}

impl core::error::Error for AddError {}

impl ReadySet {
    /// A set without sockets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a socket, whose events have this token. What it is ready for now is its first event.
    pub fn add(&self, descriptor: i32, token: usize) -> Result<(), AddError> {
        let object = object(descriptor).map_err(|_| AddError::NoSocket)?;
        let socket = object.socket().ok_or(AddError::NoSocket)?;
        let place = self.0.place(token).ok_or(AddError::NoMemory)?;
        if socket.watch().join(place) { Ok(()) } else { Err(AddError::Taken) }
    }

    /// What ends a wait, with an event that has this token; `None` when memory is short.
    pub fn waker(&self, token: usize) -> Option<Waker> {
        self.0.place(token).map(Waker)
    }

    /// Waits until a socket is ready, or for `timeout`, and fills `events` with as many as it has room for.
    pub fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) {
        self.0.wait(timeout, events);
    }
}

impl Waker {
    /// Ends a wait, or the next one.
    pub fn wake(&self) {
        self.0.wake();
    }
}
