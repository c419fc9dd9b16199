//! The end of a round, and of the server: whom it closes, and who is left with something to do.

use std::io;
use std::time::{Duration, Instant};

use pmem::Medium;

use super::Server;

/// How long clients may take to read their last replies when the server stops.
const GRACE: Duration = Duration::from_secs(2);

impl<M: Medium + 'static> Server<M> {
    /// Ends the round: closes what is over, and leaves in the queue what has more to do.
    pub(super) fn end_round(&mut self) {
        if std::mem::take(&mut self.shared.killed) {
            // They have been closed by others, and may have had nothing to do.
            self.connections.enqueue_all(|connection| connection.client.session.closing.is_some());
        }
        for _ in 0..self.connections.queued() {
            let Some(index) = self.connections.dequeue() else { break };
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if connection.is_over(&self.shared.limits) {
                self.close(index);
                continue;
            }
            let has_work = connection.has_work(&self.shared.limits);
            if !has_work {
                connection.client.rest();
            }
            connection.count_buffers();
            if has_work {
                self.connections.enqueue(index);
            }
        }
    }

    /// Closes those that have been idle for as long as `timeout` says.
    pub(super) fn close_idle(&mut self, now: u64) {
        if self.idle.set_timeout(self.shared.settings.timeout.saturating_mul(1000)) {
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
            self.connections.enqueue(index);
        }
    }

    fn close(&mut self, index: usize) {
        let Some(connection) = self.connections.remove(index) else { return };
        self.shared.clients -= 1;
        if let Some(look) = connection.look {
            self.idle.forget(index, look);
        }
    }

    /// Gives the clients a little time to read what they are owed.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + GRACE;
        self.connections.enqueue_all(|_| true);
        loop {
            self.send(self.now());
            for _ in 0..self.connections.queued() {
                let Some(index) = self.connections.dequeue() else { break };
                if self.connections.get_mut(index).is_some_and(|connection| connection.owes()) {
                    self.connections.enqueue(index);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.connections.queued() == 0 || left.is_zero() {
                return Ok(());
            }
            self.wait(Some(left))?;
        }
    }
}
