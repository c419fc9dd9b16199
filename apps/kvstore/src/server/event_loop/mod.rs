//! The loop.
//!
//! A round takes what has become ready ([`accept`], [`receive`]), serves it in one turn of the pool ([`turn`]), sends,
//! and ends with whom it closes ([`end_round`]) and with what can be done in small steps beside it ([`background`]).

mod accept;
mod background;
mod end_round;
mod evict;
mod receive;
mod turn;

use std::io;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use pmem::{Medium, Pool};

use super::connections::Connections;
use super::idle::Idle;
use super::readiness::{Poller, Source, Stopper};
use crate::clock::{self, Monotonic};
use crate::shared::Shared;

/// How long an expiry is waited for without looking at the clock again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The server.
pub struct Server<M: Medium + 'static> {
    poller: Poller,
    listener: TcpListener,
    pub(super) pool: Pool<M>,
    pub(super) shared: Shared,
    connections: Connections,
    /// Those that take part in the current turn.
    participants: Vec<usize>,
    /// There may be connections to accept.
    pub(super) acceptable: bool,
    /// Accepting pauses until then.
    paused: Option<Instant>,
    next_id: u64,
    /// What the time of a turn is measured by.
    pub(super) clock: Monotonic,
    /// When the server started.
    pub(super) started: Instant,
    /// Who may be idle.
    idle: Idle,
    /// The pool has work that it leaves to when there is time.
    has_backlog: bool,
    /// How many places of the pool were reported as damaged.
    damage_reported: usize,
}

impl<M: Medium + 'static> Server<M> {
    /// A server for clients of `pool`, who come by `listener`.
    pub fn new(mut listener: TcpListener, pool: Pool<M>, mut shared: Shared) -> io::Result<Self> {
        let poller = Poller::new(&mut listener)?;
        let address = listener.local_addr()?;
        (shared.info.bind, shared.info.port) = (address.ip().to_string(), address.port());
        Ok(Self {
            poller,
            listener,
            pool,
            shared,
            connections: Connections::new(),
            participants: Vec::new(),
            acceptable: true,
            paused: None,
            next_id: 1,
            clock: clock::monotonic,
            started: Instant::now(),
            idle: Idle::default(),
            has_backlog: true,
            damage_reported: 0,
        })
    }

    /// Milliseconds since the server started.
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.shared.info.port
    }

    /// What wakes the loop to stop it, from any thread. One per server.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.poller.stopper()
    }

    /// Serves until it is told to stop; then everything acknowledged is durable, and the pool is handed back.
    pub fn run(mut self) -> io::Result<Pool<M>> {
        self.report_damage();
        while !self.shared.stopping {
            self.round()?;
        }
        self.finish()?;
        Ok(self.pool)
    }

    /// Waits for something to do, and does a part of it: at most one turn.
    pub(super) fn round(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        self.wait(timeout)?;
        let now = self.now();
        self.accept(now);
        self.send(now);
        self.receive(now);
        self.turn(now);
        // A turn may take long.
        let now = self.now();
        self.send(now);
        self.close_idle(now);
        self.end_round();
        self.background_step();
        self.scrub();
        Ok(())
    }

    /// How long to wait for events: not at all while there is something to do, else until something is due.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if self.connections.queued() > 0 || self.has_backlog || self.acceptable && self.paused.is_none() {
            return Some(Duration::ZERO);
        }
        let pause = self.paused.map(|until| until.saturating_duration_since(Instant::now()));
        let expiry = self.shared.expiry.due().map(|due| {
            // The wall clock may be set meanwhile: look again now and then.
            Duration::from_millis(due.saturating_sub(clock::unix_micros() / 1000)).min(LONGEST_WAIT)
        });
        let idle = self.idle.next().map(|look| Duration::from_millis(look.saturating_sub(self.now())));
        pause.into_iter().chain(idle).chain(expiry).chain(self.shared.scrub.due_in()).min()
    }

    /// Waits, and notes what has become ready.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poller.wait(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for (source, ready) in self.poller.events() {
            match source {
                Source::Listener => self.acceptable = true,
                Source::Stopper => self.shared.stopping = true,
                Source::Connection(index) => {
                    let Some(connection) = self.connections.get_mut(index) else { continue };
                    connection.becomes(ready);
                    self.connections.enqueue(index);
                }
            }
        }
        Ok(())
    }
}
