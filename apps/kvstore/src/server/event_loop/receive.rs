//! Receiving and sending.

use pmem::Medium;

use super::Server;
use super::evict::{Room, make_room};
use crate::server::connection::Trouble;

impl<M: Medium + 'static> Server<M> {
    /// Reads from every connection in the queue.
    pub(super) fn receive(&mut self, now: u64) {
        for place in 0..self.connections.queued() {
            let Some(index) = self.connections.queued_at(place) else { break };
            self.receive_from(index, now);
        }
    }

    /// Reads from a connection. Without memory for what arrives the request is refused; a client that cannot even be
    /// told is closed.
    fn receive_from(&mut self, index: usize, now: u64) {
        let mut refused = false;
        while let Some(connection) = self.connections.get_mut(index) {
            match connection.receive(&self.shared.limits, &mut self.shared.counters, now) {
                Ok(()) => return connection.count_buffers(),
                Err(Trouble::Broken) => return connection.client.abandon(),
                Err(Trouble::NoMemory) => {}
            }
            match make_room(&mut self.connections, &mut self.shared, index, now) {
                Room::Now => continue,
                Room::Later => return,
                Room::Never => {}
            }
            let Some(connection) = self.connections.get_mut(index) else { return };
            if refused || !connection.client.refuse_input() {
                self.shared.counters.evicted += 1;
                return connection.client.abandon();
            }
            refused = true;
        }
    }

    /// Sends what is released to every connection in the queue.
    pub(super) fn send(&mut self, now: u64) {
        self.connections.each_queued(|_, connection| {
            if connection.send(&self.poller, &mut self.shared.counters, now).is_err() {
                connection.client.abandon();
            }
        });
    }
}
