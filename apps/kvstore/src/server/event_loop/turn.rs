//! The turn of a round.

use std::ops::Range;

use pmem::{Medium, Turn};

use super::Server;
use super::evict::{Room, make_room};
use crate::budget::Budget;
use crate::clock;
use crate::expire;
use crate::log;
use crate::server::client::Client;
use crate::server::connection::Connection;
use crate::server::connections::Connections;
use crate::shared::Shared;

/// Most ranges of unreadable bytes that are listed.
const SHOWN_RANGES: usize = 32;

impl<M: Medium + 'static> Server<M> {
    /// Executes what is complete, commits, and releases the replies.
    pub(super) fn turn(&mut self, now: u64) {
        self.gather();
        let now_us = clock::unix_micros();
        // A pass over the keys would have the pool read all that it has left for later.
        let expiry_due = !self.has_backlog && self.shared.expiry.due().is_some_and(|due| due <= now_us / 1000);
        if self.participants.is_empty() && !expiry_due {
            return;
        }
        self.begin_turn(now_us);
        let (connections, shared, participants) = (&mut self.connections, &mut self.shared, &self.participants);
        let (has_backlog, clock, mut served) = (self.has_backlog, self.clock, 0);
        let result = self.pool.turn(|turn| {
            let mut budget = Budget::new(clock, turn.moved());
            for &index in participants {
                if budget.is_spent() {
                    break;
                }
                served += 1;
                let mut share = budget.share();
                serve(turn, connections, shared, index, &mut share, now);
                budget.put_back(share);
            }
            if !has_backlog {
                expire::step(turn, shared, clock);
            }
        });
        self.shared.end();
        self.put_first(served);
        let why = match result {
            Ok(((), receipt)) if !self.shared.turn_failed => {
                return self.for_participants(|client| client.release(&receipt));
            }
            Ok(_) => "the medium failed under a command".to_string(),
            Err(error) => error.to_string(),
        };
        log::warn(format_args!("a turn of {} clients failed, they are closed: {why}", self.participants.len()));
        self.for_participants(Client::fail);
    }

    /// Tells the commands what the pool knows before the turn.
    fn begin_turn(&mut self, now_us: u64) {
        let stats = self.pool.stats();
        if stats.bad_bytes != self.shared.pool.bad_bytes {
            let range = |bad: &Range<u64>| format!("{:#x}-{:#x}", bad.start, bad.end);
            let ranges: Vec<String> = self.pool.bad_ranges().take(SHOWN_RANGES).map(range).collect();
            self.shared.bad_ranges = ranges.join(",");
        }
        self.shared.begin(now_us, stats);
    }

    /// Collects who takes part in a turn: those that had a lot to do in the last one come last, so that who asks for
    /// little is answered first.
    fn gather(&mut self) {
        let (participants, limits) = (&mut self.participants, &self.shared.limits);
        participants.clear();
        self.connections.each_queued(|index, connection| {
            if connection.client.has_request(limits) {
                participants.push(index);
            }
        });
        let connections = &mut self.connections;
        participants.sort_by_key(|&index| connections.get_mut(index).is_some_and(|it| it.client.is_heavy()));
    }

    /// Those that got nothing of a turn, all but the first `served`, are the first next time.
    fn put_first(&mut self, served: usize) {
        let Some(&left_out) = self.participants.get(served) else { return };
        self.connections.turn_to(left_out);
        for index in self.participants.drain(served..) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.client.was_left_out();
            }
        }
    }

    fn for_participants(&mut self, mut act: impl FnMut(&mut Client)) {
        for &index in &self.participants {
            if let Some(connection) = self.connections.get_mut(index) {
                act(&mut connection.client);
            }
        }
    }
}

/// Executes what the client at `index` has asked for, or refuses it if there is no memory for it, as far as its share
/// of the turn goes.
fn serve<M: Medium + 'static>(
    turn: &mut Turn<'_, M>,
    connections: &mut Connections,
    shared: &mut Shared,
    index: usize,
    share: &mut Budget,
    now: u64,
) {
    while let Some((Connection { client, .. }, mut others)) = connections.apart(index) {
        if client.execute(turn, shared, &mut others, share).is_ok() {
            return;
        }
        match make_room(connections, shared, index, now) {
            // That was no command's time.
            Room::Now => _ = share.lap(),
            Room::Later => return,
            Room::Never => {
                let Some((Connection { client, .. }, mut others)) = connections.apart(index) else { return };
                client.refuse_request(turn, shared, &mut others, share);
            }
        }
    }
}
