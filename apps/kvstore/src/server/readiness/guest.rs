//! Readiness by libos.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libos::abi::{self, Event, ReadySet, Waker};
use mio::net::{TcpListener, TcpStream};

use super::{EVENTS, LISTENER, Ready, STOPPER, Source};

/// Waits for sockets.
pub struct Poller {
    set: ReadySet,
    events: Vec<Event>,
}

/// Has the server stop, from any thread.
pub struct Stopper(Waker);

impl Poller {
    /// One that waits for connections to accept.
    pub fn new(listener: &mut TcpListener) -> io::Result<Self> {
        let set = ReadySet::new();
        set.add(listener.as_raw_fd(), LISTENER).map_err(io::Error::other)?;
        Ok(Self { set, events: Vec::with_capacity(EVENTS) })
    }

    /// What stops the server. One per server.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.set.waker(STOPPER).map(Stopper).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Waits for a connection's socket too, until it is closed.
    pub fn add(&self, stream: &mut TcpStream, index: usize) -> io::Result<()> {
        self.set.add(stream.as_raw_fd(), index).map_err(io::Error::other)
    }

    /// Room to write is told of when it was missing, without being asked for.
    pub fn watch_writes(&self, _stream: &mut TcpStream, _index: usize, _wanted: bool) -> io::Result<()> {
        Ok(())
    }

    /// Waits until something has become ready, or for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.set.wait(timeout, &mut self.events);
        Ok(())
    }

    /// What the last wait has found.
    pub fn events(&self) -> impl Iterator<Item = (Source, Ready)> {
        self.events.iter().map(|event| {
            let has = |ready: abi::Ready| event.ready.intersects(ready);
            let failed = abi::Ready::HUP | abi::Ready::ERR;
            let ready = Ready {
                readable: has(abi::Ready::IN),
                writable: has(abi::Ready::OUT | failed),
                hung_up: has(abi::Ready::RDHUP | failed),
            };
            (Source::of(event.token), ready)
        })
    }
}

impl Stopper {
    /// Has the server stop.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake();
        Ok(())
    }
}
