//! How many connections there may be, and what their buffers take.
//!
//! Half of what connections may take has room for the limit's number of them with the least buffers. It is counted, not
//! set aside: where the program has taken the memory meanwhile, fewer fit, as many at least as the heap's part for
//! small pieces has room for. The other half lets those that carry much have large ones. A connection gets them when it
//! is made, while there are few, or when more comes or goes than it has room for; and gives them back when others need
//! them and it rests.

use smoltcp::time::Instant;

use super::Connections;
use super::line::Line;
use crate::io::Signal;
use crate::net::link::Via;
use crate::net::slab::Id;
use crate::net::tcp::connection::{Connection, LEAST_BUFFER};

/// There is never more than this many connections, whatever memory there is.
const MAX_CONNECTIONS: usize = 16_384;
/// What the tables need for a connection beside its own structures.
const ENTRIES: usize = 256;
/// The smallest buffers beyond the least, which a connection has on loopback.
const SMALL_CAPACITY: usize = 4 * 1024;
/// Connections that are looked at for large buffers to take back, each time that some are needed.
const LOOKS: usize = 32;

/// The room for connections' buffers.
pub struct Room {
    /// The most connections.
    limit: usize,
    /// Bytes of buffer beyond the least that all connections may have, and that they have.
    budget: usize,
    pub(super) grown: usize,
    /// The connections that have some, those first that were longest not looked at.
    pub(super) line: Line,
    /// SYNs that were refused: there were as many connections as there may be, or no memory for another.
    pub(super) refused: u64,
}

impl Room {
    /// Room for connections that take up to `budget` bytes in all.
    pub fn new<S: Signal>(budget: usize) -> Self {
        let least = 2 * LEAST_BUFFER + size_of::<Connection<S>>() + ENTRIES;
        let limit = (budget / 2 / least).clamp(1, MAX_CONNECTIONS);
        Self { limit, budget: budget - limit * least, grown: 0, line: Line::new(), refused: 0 }
    }
}

/// The bytes of a connection's buffers beyond the least.
fn beyond_least<S: Signal>(connection: &Connection<S>) -> usize {
    connection.buffered() - 2 * LEAST_BUFFER
}

impl<S: Signal> Connections<S> {
    /// The most connections that there may be.
    pub fn limit(&self) -> usize {
        self.room.limit
    }

    /// Whether there may be no other connection.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= self.room.limit
    }

    /// Bytes of buffer each way for one more connection: generous while there are few, so that thousands fit as well.
    pub fn capacity(&self, via: Via) -> usize {
        let capacity = self.large_capacity();
        match via {
            Via::Nic if 2 * (capacity - LEAST_BUFFER) > self.room.budget.saturating_sub(self.room.grown) => {
                LEAST_BUFFER
            }
            // Its numbers are not followed, so its buffers stay as they are.
            _ => capacity,
        }
    }

    fn large_capacity(&self) -> usize {
        match 4 * self.room.grown / self.room.budget.max(1) {
            0 => 64 * 1024,
            1 => 32 * 1024,
            2 => 16 * 1024,
            _ => SMALL_CAPACITY,
        }
    }

    /// Notes a connection's buffers.
    pub(super) fn count_buffers(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.room.grown += beyond_least(connection);
        if beyond_least(connection) > 0 && !connection.in_line {
            connection.in_line = true;
            self.room.line.push(id, &self.connections);
        }
    }

    /// Forgets a connection's buffers, before it goes or gets others.
    pub(super) fn uncount_buffers(&mut self, id: Id) {
        let Some(connection) = self.connections.get(id) else { return };
        self.room.grown -= beyond_least(connection);
    }

    /// Gives a connection larger buffers, if what is to come or to go needs them and there is room; `coming` bytes are
    /// to be received, `going` to be sent.
    pub fn grow(&mut self, id: Id, coming: usize, going: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.used = true;
        if !connection.needs_more(coming, going) {
            return;
        }
        if connection.is_least() && self.room.grown + 2 * SMALL_CAPACITY > self.room.budget {
            self.take_back(now);
        }
        let mut capacity = self.large_capacity();
        let free = self.room.budget.saturating_sub(self.room.grown);
        if 2 * (capacity - LEAST_BUFFER) > free {
            capacity = SMALL_CAPACITY;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let capacities = connection.sizes.capacities(capacity);
        if connection.gains_by(capacities) && capacities.0 + capacities.1 - 2 * LEAST_BUFFER <= free {
            self.resize(id, capacities, now);
        }
    }

    /// Takes large buffers from connections that rest.
    fn take_back(&mut self, now: Instant) {
        for _ in 0..LOOKS.min(self.room.line.len()) {
            let Some(id) = self.room.line.pop() else { return };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.in_line = false;
            if !core::mem::take(&mut connection.used) && connection.rests() {
                self.resize(id, (LEAST_BUFFER, LEAST_BUFFER), now);
            }
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if beyond_least(connection) > 0 {
                connection.in_line = true;
                self.room.line.push(id, &self.connections);
            }
        }
    }

    /// Gives a connection buffers of these sizes, if it can have others now.
    fn resize(&mut self, id: Id, capacities: (usize, usize), now: Instant) {
        self.uncount_buffers(id);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.resize(capacities, &mut self.nursery, now);
        }
        self.count_buffers(id);
    }
}
