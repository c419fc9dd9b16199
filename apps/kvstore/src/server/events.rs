//! The loop.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pmem::{Medium, Pool};

use super::client::Client;
use super::connection::{Connection, Trouble};
use super::eviction::{self, Remedy};
use super::idle::Idle;
use super::protected_mode;
use super::slab::Slab;
use crate::budget::Budget;
use crate::clock::{self, Monotonic};
use crate::expire;
use crate::log;
use crate::session::{Ends, Session};
use crate::state::State;

/// The listening socket's token; connections have their index.
const LISTENER: Token = Token(usize::MAX);
/// The token of a request to stop from outside the loop.
const STOP: Token = Token(usize::MAX - 1);
/// Most events taken in one round.
const EVENTS: usize = 1024;
/// Most connections accepted in one round.
const ACCEPTS: usize = 256;
/// Most ranges of unreadable bytes that are listed.
const SHOWN_RANGES: usize = 32;
/// How long an expiry is waited for without looking at the clock again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long accepting pauses when the system has no means for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Blocks that the pool reads ahead in a round without requests: few enough that one that comes then does not wait.
const IDLE_BLOCKS: u32 = 8;
/// Milliseconds between two lines about clients that are closed to make room.
const EVICTION_LINES: u64 = 1000;
/// How long clients may take to read their last replies when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// The server.
pub struct Server<M: Medium + 'static> {
    poll: Poll,
    listener: TcpListener,
    pub(super) pool: Pool<M>,
    pub(super) state: State,
    connections: Slab<Connection>,
    /// Connections with something to do, those that have waited longest first. No index is in it twice.
    queue: VecDeque<usize>,
    /// Those of them that take part in the current turn.
    taking_part: Vec<usize>,
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
    behind: bool,
    /// How many places of the pool were reported as damaged.
    damage_reported: usize,
}

impl<M: Medium + 'static> Server<M> {
    /// A server that listens on `address` for clients of `pool`. Fails if the address cannot be listened on.
    pub fn bind(address: SocketAddr, pool: Pool<M>, mut state: State) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        state.facts.port = listener.local_addr()?.port();
        Ok(Self {
            poll,
            listener,
            pool,
            state,
            connections: Slab::new(),
            queue: VecDeque::new(),
            taking_part: Vec::new(),
            acceptable: true,
            paused: None,
            next_id: 1,
            clock: clock::monotonic,
            started: Instant::now(),
            idle: Idle::default(),
            behind: true,
            damage_reported: 0,
        })
    }

    /// Milliseconds since the server started.
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.state.facts.port
    }

    /// What wakes the loop to stop it, from any thread. One per server.
    pub fn stopper(&self) -> io::Result<mio::Waker> {
        mio::Waker::new(self.poll.registry(), STOP)
    }

    /// Serves until it is told to stop; then everything acknowledged is durable, and the pool is handed back.
    pub fn run(mut self) -> io::Result<Pool<M>> {
        let mut events = Events::with_capacity(EVENTS);
        self.report_damage();
        while !self.state.stopping {
            self.round(&mut events)?;
        }
        self.finish(&mut events)?;
        Ok(self.pool)
    }

    /// Waits for something to do, and does a part of it: at most one turn.
    pub(super) fn round(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = self.timeout();
        self.wait(events, timeout)?;
        self.accept();
        self.send();
        self.receive();
        self.turn();
        self.send();
        self.close_idle();
        self.settle();
        self.catch_up();
        self.scrub();
        Ok(())
    }

    /// How long to wait for events: not at all while there is something to do, else until something is due.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() || self.behind || self.acceptable && self.paused.is_none() {
            return Some(Duration::ZERO);
        }
        let pause = self.paused.map(|until| until.saturating_duration_since(Instant::now()));
        let expiry = self.state.expiry.due().map(|due| {
            // The wall clock may be set meanwhile: look again now and then.
            Duration::from_millis(due.saturating_sub(clock::unix_micros() / 1000)).min(LONGEST_WAIT)
        });
        let idle = self.idle.next().map(|look| Duration::from_millis(look.saturating_sub(self.now())));
        pause.into_iter().chain(idle).chain(expiry).chain(self.state.scrub.due_in()).min()
    }

    /// Waits, and notes what has become ready.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in events.iter() {
            match event.token() {
                LISTENER => self.acceptable = true,
                STOP => self.state.stopping = true,
                Token(index) => {
                    let Some(connection) = self.connections.get_mut(index) else { continue };
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        connection.set_readable();
                    }
                    if event.is_writable() || event.is_write_closed() || event.is_error() {
                        connection.set_writable();
                    }
                    if !std::mem::replace(&mut connection.queued, true) {
                        self.queue.push_back(index);
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        if self.paused.is_some_and(|until| until <= Instant::now()) {
            self.paused = None;
        }
        if self.paused.is_some() {
            return;
        }
        for _ in 0..ACCEPTS {
            if !self.acceptable {
                return;
            }
            match self.listener.accept() {
                Ok((stream, address)) => self.welcome(stream, address),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.acceptable = false,
                // The client has gone again.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    log::warn(format_args!("cannot accept a connection, waiting a little: {error}"));
                    self.paused = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, address: SocketAddr) {
        if protected_mode::refuses(&self.state.settings, address.ip()) {
            self.state.counters.rejected += 1;
            // Whether it gets through is the client's concern.
            let _ = stream.write(protected_mode::DENIED);
            return;
        }
        if self.state.clients >= self.state.limits.clients || !self.connections.reserve() {
            self.state.counters.rejected += 1;
            // Whether it gets through is the client's concern.
            let _ = stream.write(b"-ERR max number of clients reached\r\n");
            return;
        }
        self.state.counters.connections += 1;
        // A connection that fails already is none.
        let Ok(local) = stream.local_addr() else { return };
        let ends = Ends { peer: address, local, descriptor: stream.as_raw_fd() };
        let session = Session::new(self.next_id, ends, clock::unix_micros() / 1000);
        self.next_id += 1;
        let client = Client::new(session, &self.state);
        let token = Token(self.connections.next_index());
        let now = self.now();
        if let Ok(mut connection) = Connection::new(stream, token, self.poll.registry(), client, now) {
            connection.look = self.idle.watch(token.0, now);
            self.connections.insert(connection);
            self.state.clients += 1;
        }
    }

    /// Reads from every connection in the queue.
    fn receive(&mut self) {
        let now = self.now();
        for place in 0..self.queue.len() {
            self.receive_from(self.queue[place], now);
        }
    }

    /// Reads from a connection. Without memory for what arrives the request is refused; a client that cannot even be
    /// told is closed.
    fn receive_from(&mut self, index: usize, now: u64) {
        let mut refused = false;
        while let Some(connection) = self.connections.get_mut(index) {
            match connection.receive(&self.state.limits, &mut self.state.counters, now) {
                Ok(()) => return connection.count_buffers(),
                Err(Trouble::Broken) => return connection.client.abandon(),
                Err(Trouble::NoMemory) => {}
            }
            match make_room(&mut self.connections, &mut self.queue, &mut self.state, index, now) {
                Room::Now => continue,
                Room::Later => return,
                Room::Never => {}
            }
            let Some(connection) = self.connections.get_mut(index) else { return };
            if refused || !connection.client.refuse_input() {
                self.state.counters.evicted += 1;
                return connection.client.abandon();
            }
            refused = true;
        }
    }

    /// Collects who takes part in a turn: those that had a lot to do in the last one come last, so that who asks for
    /// little is answered first.
    fn gather(&mut self) {
        let connections = &mut self.connections;
        let has_request = |it: &mut Connection| it.client.has_request(&self.state.limits);
        self.taking_part.clear();
        for &index in &self.queue {
            if connections.get_mut(index).is_some_and(has_request) {
                self.taking_part.push(index);
            }
        }
        self.taking_part.sort_by_key(|&index| connections.get_mut(index).is_some_and(|it| it.client.is_heavy()));
    }

    /// Executes what is complete, commits, and releases the replies.
    fn turn(&mut self) {
        self.gather();
        let now_us = clock::unix_micros();
        // A pass over the keys would have the pool read all that it has left for later.
        let expiry_due = !self.behind && self.state.expiry.due().is_some_and(|due| due <= now_us / 1000);
        if self.taking_part.is_empty() && !expiry_due {
            return;
        }
        let stats = self.pool.stats();
        if stats.bad_bytes != self.state.pool.bad_bytes {
            let range = |bad: &Range<u64>| format!("{:#x}-{:#x}", bad.start, bad.end);
            let ranges: Vec<String> = self.pool.bad_ranges().take(SHOWN_RANGES).map(range).collect();
            self.state.bad_ranges = ranges.join(",");
        }
        self.state.begin(now_us, stats);
        let (connections, state, taking_part) = (&mut self.connections, &mut self.state, &self.taking_part);
        let (queue, now) = (&mut self.queue, self.started.elapsed().as_millis() as u64);
        let (behind, clock, mut served) = (self.behind, self.clock, 0);
        let result = self.pool.turn(|turn| {
            let mut budget = Budget::new(clock, turn.moved());
            for &index in taking_part {
                if budget.is_spent() {
                    break;
                }
                served += 1;
                let mut share = budget.share();
                while let Some((connection, mut others)) = connections.apart(index) {
                    let client = &mut connection.client;
                    if client.execute(turn, state, &mut others, &mut share).is_ok() {
                        break;
                    }
                    match make_room(connections, queue, state, index, now) {
                        Room::Now => {}
                        Room::Later => break,
                        Room::Never => {
                            let Some((connection, mut others)) = connections.apart(index) else { break };
                            connection.client.refuse_request(turn, state, &mut others, &mut share);
                        }
                    }
                }
                budget.put_back(share);
            }
            if !behind {
                expire::step(turn, state, clock);
            }
        });
        self.state.end();
        self.put_first(served);
        let why = match result {
            Ok(((), receipt)) if !self.state.turn_failed => {
                return self.for_taking_part(|client| client.release(&receipt));
            }
            Ok(_) => "the medium failed under a command".to_string(),
            Err(error) => error.to_string(),
        };
        log::warn(format_args!("a turn of {} clients failed, they are closed: {why}", self.taking_part.len()));
        self.for_taking_part(Client::fail);
    }

    /// Those that got nothing of a turn, all but the first `served`, are the first next time.
    fn put_first(&mut self, served: usize) {
        let Some(left_out) = self.taking_part.get(served) else { return };
        let first = self.queue.iter().position(|index| index == left_out).unwrap_or(0);
        self.queue.rotate_left(first);
        for index in self.taking_part.drain(served..) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.client.was_left_out();
            }
        }
    }

    fn for_taking_part(&mut self, mut act: impl FnMut(&mut Client)) {
        for &index in &self.taking_part {
            if let Some(connection) = self.connections.get_mut(index) {
                act(&mut connection.client);
            }
        }
    }

    /// Sends what is released to every connection in the queue.
    fn send(&mut self) {
        let now = self.now();
        for &index in &self.queue {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if connection.send(self.poll.registry(), &mut self.state.counters, now).is_err() {
                connection.client.abandon();
            }
        }
    }

    /// Ends the round: closes what is over, and leaves in the queue what has more to do.
    fn settle(&mut self) {
        if std::mem::take(&mut self.state.killed) {
            self.queue_killed();
        }
        for _ in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.queued = false;
            if connection.is_over(&self.state.limits) {
                self.close(index);
                continue;
            }
            connection.queued = connection.has_work(&self.state.limits);
            if connection.queued {
                self.queue.push_back(index);
            } else {
                connection.client.rest();
            }
            connection.count_buffers();
        }
    }

    /// Closes those that have been idle for as long as `timeout` says.
    fn close_idle(&mut self) {
        let now = self.now();
        if self.idle.set_timeout(self.state.settings.timeout.saturating_mul(1000)) {
            for (index, connection) in self.connections.iter_mut() {
                connection.look = self.idle.watch(index, connection.active());
            }
        }
        while let Some(index) = self.idle.take_due(now) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let active = if connection.waits() { now } else { connection.active() };
            if now.saturating_sub(active) < self.idle.timeout() {
                connection.look = self.idle.watch(index, active);
                continue;
            }
            connection.look = None;
            connection.client.abandon();
            if !std::mem::replace(&mut connection.queued, true) {
                self.queue.push_back(index);
            }
        }
    }

    /// Queues those whom others have closed, so that they are looked at.
    fn queue_killed(&mut self) {
        for (index, connection) in self.connections.iter_mut() {
            if connection.client.session.closing.is_some() && !std::mem::replace(&mut connection.queued, true) {
                self.queue.push_back(index);
            }
        }
    }

    /// Lets the pool do a step of what it has left to do: a small one while there are requests.
    fn catch_up(&mut self) {
        if self.behind {
            let blocks = if self.queue.is_empty() { IDLE_BLOCKS } else { 1 };
            self.behind = self.pool.read_ahead(blocks).unwrap_or_else(|error| {
                log::warn(format_args!("the pool cannot be read further: {error}"));
                false
            });
        }
        self.report_damage();
    }

    /// Verifies some records, if that is due.
    fn scrub(&mut self) {
        if self.behind || self.state.scrub.due_in().is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        match self.pool.scrub(self.state.scrub.step()) {
            Ok(ended) => {
                self.state.scrub.made(self.pool.scrub_progress(), ended, clock::unix_micros() / 1000);
                self.report_damage();
            }
            Err(error) => {
                log::warn(format_args!("scrubbing failed, and stops: {error}"));
                self.state.scrub.set_rate(0);
            }
        }
    }

    /// Reports damage that was met since the last time.
    fn report_damage(&mut self) {
        let damage = &self.pool.report().damage;
        for damage in damage.iter().skip(self.damage_reported) {
            log::warn(format_args!("damage in the pool: {damage}"));
        }
        self.damage_reported = damage.len();
    }

    fn close(&mut self, index: usize) {
        if let Some(connection) = self.connections.remove(index) {
            self.state.clients -= 1;
            if let Some(look) = connection.look {
                self.idle.forget(index, look);
            }
            if connection.queued {
                self.queue.retain(|other| *other != index);
            }
        }
    }

    /// Gives the clients a little time to read what they are owed.
    fn finish(&mut self, events: &mut Events) -> io::Result<()> {
        let deadline = Instant::now() + GRACE;
        let indices: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
        self.queue = indices.into();
        loop {
            self.send();
            let connections = &mut self.connections;
            self.queue.retain(|&index| connections.get_mut(index).is_some_and(|it| it.owes()));
            let left = deadline.saturating_duration_since(Instant::now());
            if self.queue.is_empty() || left.is_zero() {
                return Ok(());
            }
            self.wait(events, Some(left))?;
        }
    }
}

/// Says who is closed to make room, once a second at most.
fn tell_of_eviction(state: &mut State, connection: &Connection, now: u64) {
    if now >= state.quiet_until {
        state.quiet_until = now + EVICTION_LINES;
        let session = &connection.client.session;
        log::warn(format_args!(
            "client id={} addr={} is closed to make room for others: it holds {} bytes, {} of them replies that it does not \
             read (`evicted_clients` in INFO counts them all)",
            session.id,
            session.ends.peer,
            connection.client.memory(),
            connection.client.whole_replies(),
        ));
    }
}

/// Whether there is room for what was asked for in vain.
enum Room {
    Now,
    Later,
    Never,
}

/// Makes room for what the client at `index` has asked for in vain, by closing others. Those that are closed are
/// queued, so that the round's end finds them.
fn make_room(
    connections: &mut Slab<Connection>,
    queue: &mut VecDeque<usize>,
    state: &mut State,
    index: usize,
    now: u64,
) -> Room {
    let mut closed = false;
    loop {
        let Some(asker) = connections.get_mut(index).map(|asker| asker.holding()) else { return Room::Never };
        let others = connections.iter().filter(|(other, _)| *other != index);
        let others = others.map(|(other, connection)| (other, connection.holding()));
        let victim = match eviction::remedy(&state.memory, now, asker, others) {
            Remedy::NotNeeded if closed => return Room::Now,
            Remedy::Close(victim) => victim,
            Remedy::Send => return Room::Later,
            Remedy::Read => {
                connections.get_mut(index).into_iter().for_each(Connection::wait_for_reader);
                return Room::Later;
            }
            // Without need: it is the heap that has nothing in one piece.
            Remedy::NotNeeded | Remedy::None => return Room::Never,
        };
        let Some(connection) = connections.get_mut(victim) else { return Room::Never };
        tell_of_eviction(state, connection, now);
        connection.client.abandon();
        closed = true;
        state.counters.evicted += 1;
        if !std::mem::replace(&mut connection.queued, true) {
            queue.push_back(victim);
        }
    }
}
