//! Rounds: what connections that are queued, or whose time has come, have to send; and who has had his time.

use smoltcp::phy::Device;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use super::Connections;
use crate::io::Signal;
use crate::net::link::{Link, Outcome, Via};
use crate::net::slab::Id;
use crate::net::tcp::connection::{Cause, HANDSHAKE_TIMEOUT, ORPHAN_TIMEOUT, Owner};
use crate::net::tcp::engine::Engine;

/// Segments that one connection may send before the next one's turn.
pub(super) const BURST: usize = 32;

impl<S: Signal> Connections<S> {
    /// A neighbour's address was resolved: whoever waits for one goes on.
    pub fn neighbour_resolved(&mut self) {
        while let Some(id) = self.unresolved.pop() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.unresolved = false;
                self.enqueue(id);
            }
        }
    }

    /// Looks at every queued connection, and at those whose time has come: sends what they have to send.
    pub fn egress<D: Device, L: Device>(&mut self, nic: &mut Option<Link<D>>, loopback: &mut Link<L>, now: Instant) {
        while let Some(id) = self.timers.pop(now, |id| Some(&mut self.connections.get_mut(id)?.armed)) {
            self.enqueue(id);
        }
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.pop() else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.queued = false;
            let more = match connection.via {
                Via::Loopback => self.transmit(id, loopback, now),
                Via::Nic => match nic {
                    Some(link) => self.transmit(id, link, now),
                    None => false,
                },
            };
            if more {
                self.enqueue(id);
            }
        }
    }

    /// Sends what one connection has to send, notes what became of it, and says whether it wants another turn.
    pub fn transmit<D: Device>(&mut self, id: Id, link: &mut Link<D>, now: Instant) -> bool {
        #[cfg(test)]
        {
            self.touched += 1;
        }
        if let Some(more) = self.transmit_fast(id, link, now) {
            return more;
        }
        self.state_changed(id, Cause::Segment);
        if self.connections.get(id).is_some_and(|connection| connection.can_grow_now()) {
            self.grow(id, 0, usize::MAX / 2, now);
        }
        let Some(connection) = self.connections.get_mut(id) else { return false };
        // smoltcp forgets unread data when it leaves TIME-WAIT; it stays there until the program has read it.
        let unread = connection.engine.state() == State::TimeWait
            && connection.owner == Owner::Program
            && connection.engine.can_recv();
        let Some(set) = connection.engine.set_mut() else { return false };
        let mut more = false;
        let mut due = None;
        if !unread {
            // smoltcp resets who has lost his address when it attempts to send.
            due = match link.has_address(connection.tuple.local.addr) {
                true => link.next_send(now, set),
                false => Some(now),
            };
            let mut outcome = Outcome::Sent;
            for _ in 0..BURST {
                if due.is_none_or(|at| at > now) {
                    outcome = Outcome::Nothing;
                    break;
                }
                outcome = link.transmit_observed(now, set, Some(&mut connection.sent));
                if outcome != Outcome::Sent {
                    break;
                }
                due = link.next_send(now, set);
            }
            more = matches!(outcome, Outcome::Full | Outcome::Sent);
            if outcome == Outcome::Unresolved {
                link.ask_for(connection.tuple.remote.addr, now);
            }
            if outcome == Outcome::Unresolved && !connection.unresolved {
                connection.unresolved = true;
                self.unresolved.push(id, &self.connections);
            }
        }
        let sent_in = self.connections.get(id).map(|connection| (connection.seen, connection.read_shutdown));
        self.state_changed(id, Cause::Timer);
        self.expire(id, now);
        let Some(connection) = self.connections.get_mut(id) else { return false };
        connection.publish();
        if unread || more {
            return more;
        }
        connection.enter_fast_path(link, now);
        due = match &connection.engine {
            Engine::Fast(fast) => fast.next_turn(),
            // What the socket said after the last segment still holds, unless something was done with it since.
            Engine::Smoltcp(..) if sent_in == Some((connection.seen, false)) => due,
            Engine::Smoltcp(set, _) => link.next_send(now, set),
        };
        let by_owner = match connection.owner {
            Owner::Listener(_) if connection.is_opening() => Some(connection.born + HANDSHAKE_TIMEOUT),
            Owner::Nobody { deadline, .. } => Some(deadline),
            _ => None,
        };
        if let Some(at) = due.into_iter().chain(by_owner).min() {
            // What is due but could not be done now (a neighbour's address is unknown) is tried again soon, not at
            // once.
            self.timers.arm(id, &mut connection.armed, at.max(now + Duration::from_millis(1)), now);
        }
        false
    }

    /// Cuts off what has had its time: unfinished handshakes, and closed connections that make no progress.
    fn expire(&mut self, id: Id, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.owner {
            Owner::Listener(_) if connection.is_opening() && now >= connection.born + HANDSHAKE_TIMEOUT => {
                self.discard(id);
            }
            Owner::Nobody { deadline, unsent } if now >= deadline => {
                let left = connection.engine.send_queue();
                if left < unsent {
                    connection.owner = Owner::Nobody { deadline: now + ORPHAN_TIMEOUT, unsent: left };
                } else {
                    self.discard(id);
                }
            }
            _ => {}
        }
    }
}
