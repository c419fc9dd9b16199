//! Readiness by mio.

use std::io;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::{EVENTS, LISTENER, Ready, STOPPER, Source};

/// Waits for sockets.
pub struct Poller {
    poll: Poll,
    events: Events,
}

/// Has the server stop, from any thread.
pub struct Stopper(Waker);

impl Poller {
    /// One that waits for connections to accept.
    pub fn new(listener: &mut TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(listener, Token(LISTENER), Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS) })
    }

    /// What stops the server. One per server.
    pub fn stopper(&self) -> io::Result<Stopper> {
        Waker::new(self.poll.registry(), Token(STOPPER)).map(Stopper)
    }

    /// Waits for a connection's socket too, until it is closed.
    pub fn add(&self, stream: &mut TcpStream, index: usize) -> io::Result<()> {
        self.poll.registry().register(stream, Token(index), Interest::READABLE)
    }

    /// Waits for room to write as well, or no longer: mostly it is there, and would wake the loop for nothing.
    pub fn watch_writes(&self, stream: &mut TcpStream, index: usize, wanted: bool) -> io::Result<()> {
        let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().reregister(stream, Token(index), interest)
    }

    /// Waits until something has become ready, or for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)
    }

    /// What the last wait has found.
    pub fn events(&self) -> impl Iterator<Item = (Source, Ready)> {
        self.events.iter().map(|event| {
            let ready = Ready {
                readable: event.is_readable(),
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                hung_up: event.is_read_closed() || event.is_error(),
            };
            (Source::of(event.token().0), ready)
        })
    }
}

impl Stopper {
    /// Has the server stop.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}
