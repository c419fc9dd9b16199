//! What is done in small steps beside the clients: the pool's backlog and scrubbing, and reports of damage.

use pmem::Medium;

use super::Server;
use crate::clock;
use crate::log;

/// Blocks that the pool reads ahead in a round without requests: few enough that one that comes then does not wait.
const IDLE_BLOCKS: u32 = 8;

impl<M: Medium + 'static> Server<M> {
    /// Lets the pool do a step of what it has left to do: a small one while there are requests.
    pub(super) fn background_step(&mut self) {
        if self.has_backlog {
            let blocks = if self.connections.queued() == 0 { IDLE_BLOCKS } else { 1 };
            self.has_backlog = self.pool.read_ahead(blocks).unwrap_or_else(|error| {
                log::warn(format_args!("the pool cannot be read further: {error}"));
                false
            });
        }
        self.report_damage();
    }

    /// Verifies some records, if that is due.
    pub(super) fn scrub(&mut self) {
        if self.has_backlog || self.shared.scrub.due_in().is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        match self.pool.scrub(self.shared.scrub.step()) {
            Ok(ended) => {
                self.shared.scrub.made(self.pool.scrub_progress(), ended, clock::unix_micros() / 1000);
                self.report_damage();
            }
            Err(error) => {
                log::warn(format_args!("scrubbing failed, and stops: {error}"));
                self.shared.scrub.set_rate(0);
            }
        }
    }

    /// Reports damage that was met since the last time.
    pub(super) fn report_damage(&mut self) {
        let damage = &self.pool.report().damage;
        for damage in damage.iter().skip(self.damage_reported) {
            log::warn(format_args!("damage in the pool: {damage}"));
        }
        self.damage_reported = damage.len();
    }
}
