//! The event loop of a forwarder: one thread, edge-triggered events, as many connections as there are descriptors.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::Target;
use super::backlog::AcceptQueue;
use super::connection::{Connection, End, refuse};
use super::pipe::Progress;
use super::source::Sources;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// The first token of a connection: each slot has two, for the client's socket and for the target's.
const FIRST_CONNECTION: usize = 2;

/// The size in bytes of the one buffer that everything is read into.
const SCRATCH: usize = 64 << 10;
/// How many accepted clients may wait for their connection to the target; the others wait in the listener's queue.
const MOST_WAITING: usize = 1024;
/// How soon a full accept queue of the target is looked at again. QEMU takes a connection in every round of its main
/// loop.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);
/// How soon accepting is tried again when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The state of the event loop.
pub(super) struct Reactor {
    poll: Poll,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    listener: TcpListener,
    /// The listener may have more clients.
    acceptable: bool,
    target: Target,
    /// The target's accept queue, when it has to be minded.
    queue: Option<AcceptQueue>,
    /// Where connections to a paced target come from.
    sources: Sources,
    /// Clients that have no connection to the target yet.
    waiting: VecDeque<TcpStream>,
    /// How many connections to the target are being made.
    connecting: usize,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that have more to do right away.
    ready: VecDeque<usize>,
    scratch: Vec<u8>,
}

impl Reactor {
    pub(super) fn new(listener: StdListener, target: Target, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let queue = match target {
            Target::Direct(_) => None,
            Target::Paced(address) => Some(AcceptQueue::new(address)),
        };
        Ok(Self {
            poll,
            waker,
            stop,
            listener,
            acceptable: true,
            target,
            queue,
            sources: Sources::new(),
            waiting: VecDeque::new(),
            connecting: 0,
            connections: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            scratch: vec![0; SCRATCH],
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Carries connections until it is told to stop.
    ///
    /// # Errors
    /// When the system's event queue fails, which ends everything. Errors of single connections end those alone.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut pause = None;
        loop {
            let timeout = if self.ready.is_empty() { pause } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptable = true,
                    WAKER => {}
                    Token(token) => {
                        // An error shows itself to whoever reads or writes.
                        let broken = event.is_error();
                        let readable = broken || event.is_readable() || event.is_read_closed();
                        let writable = broken || event.is_writable() || event.is_write_closed();
                        self.note(token - FIRST_CONNECTION, readable, writable);
                    }
                }
            }
            for _ in 0..self.ready.len() {
                if let Some(slot) = self.ready.pop_front() {
                    self.serve(slot);
                }
            }
            pause = self.admit();
        }
    }

    /// Accepts clients and makes their connections to the target as far as both go now. Says when to go on if no
    /// event will.
    fn admit(&mut self) -> Option<Duration> {
        loop {
            let accept_pause = self.accept();
            let connect_pause = self.connect();
            // With more to accept than may wait, there may be room for them by now.
            let once_more = self.acceptable && accept_pause.is_none() && self.waiting.is_empty();
            if !once_more {
                return [accept_pause, connect_pause].into_iter().flatten().min();
            }
        }
    }

    fn note(&mut self, index: usize, readable: bool, writable: bool) {
        let (slot, end) = (index / 2, if index.is_multiple_of(2) { End::Client } else { End::Target });
        // The event may be a late one of a connection that is over, whose slot is empty or another's. The other one
        // takes it for news that turn out to be none.
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        connection.note(end, readable, writable);
        self.queue_up(slot);
    }

    fn queue_up(&mut self, slot: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(slot)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(slot);
        }
    }

    /// Gives one connection its turn.
    fn serve(&mut self, slot: usize) {
        let Some(entry) = self.connections.get_mut(slot) else { return };
        let Some(connection) = entry else { return };
        connection.queued = false;
        if !connection.established {
            match connection.check_established() {
                Ok(true) => self.connecting -= 1,
                Ok(false) => return,
                Err(_) => {
                    self.connecting -= 1;
                    self.end(slot, Connection::abort);
                    return;
                }
            }
        }
        match connection.pump(&mut self.scratch) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Ready) => self.queue_up(slot),
            Ok(Progress::Finished) => self.end(slot, drop),
            Err(_) => self.end(slot, Connection::abort),
        }
    }

    fn end(&mut self, slot: usize, by: impl FnOnce(Connection)) {
        if let Some(connection) = self.connections[slot].take() {
            // Closing the sockets takes them out of the event queue.
            by(connection);
            self.free.push(slot);
        }
    }

    /// Accepts the clients that there are, and says when to try again if the listener will not say it.
    fn accept(&mut self) -> Option<Duration> {
        while self.acceptable && self.waiting.len() < MOST_WAITING {
            match self.listener.accept() {
                Ok((client, _)) => self.waiting.push_back(client),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.acceptable = false,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                Err(_) => return Some(ACCEPT_PAUSE),
            }
        }
        None
    }

    /// Makes connections to the target for the clients that wait, and says when to go on if no event will.
    fn connect(&mut self) -> Option<Duration> {
        while !self.waiting.is_empty() {
            if let Some(queue) = &mut self.queue {
                if self.connecting > 0 {
                    // The event of that connection brings the loop here again.
                    return None;
                }
                // Not knowing is no reason to stop: a connection that does not fit is made a second later.
                if !queue.has_room().unwrap_or(true) {
                    return Some(QUEUE_PAUSE);
                }
            }
            if let Some(client) = self.waiting.pop_front() {
                self.begin(client);
            }
        }
        None
    }

    /// Begins the connection to the target for one client.
    fn begin(&mut self, client: TcpStream) {
        let target = match self.target {
            Target::Direct(address) => TcpStream::connect(address),
            Target::Paced(address) => self.sources.connect(address),
        };
        let target = match target {
            Ok(target) => target,
            Err(_) => return refuse(client),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        match self.register(slot, client, target) {
            Ok(connection) => {
                self.connections[slot] = Some(connection);
                self.connecting += 1;
            }
            Err(_) => self.free.push(slot),
        }
    }

    fn register(&self, slot: usize, client: TcpStream, target: TcpStream) -> io::Result<Connection> {
        let mut connection = Connection::new(client, target)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let first = FIRST_CONNECTION + 2 * slot;
        self.poll.registry().register(&mut connection.client, Token(first), both)?;
        self.poll.registry().register(&mut connection.target, Token(first + 1), both)?;
        Ok(connection)
    }
}
