//! Connections on the fast path, and the ways there and back.

use smoltcp::phy::{Device, TxToken};
use smoltcp::time::{Duration, Instant};

use super::Connections;
use super::egress::BURST;
use crate::io::Signal;
use crate::net::frame::{self, Segment};
use crate::net::link::{Link, RxFrame};
use crate::net::slab::Id;
use crate::net::tcp::engine::Engine;
use crate::net::tcp::fast_path::{Flight, Outcome, Taken};

impl<S: Signal> Connections<S> {
    /// Whether the fast path runs a connection.
    #[cfg(test)]
    pub fn is_fast(&self, id: Id) -> bool {
        self.connections.get(id).is_some_and(|connection| matches!(connection.engine, Engine::Fast(_)))
    }

    /// Has smoltcp run a connection for ever.
    #[cfg(test)]
    pub fn keep_from_fast_path(&mut self, id: Id) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.calm_in = u32::MAX;
        }
    }

    /// Has the fast path take a segment, if it runs the connection. `false`: smoltcp is to take it. `answer` may be
    /// used up either way, for what came before it.
    pub(super) fn receive_fast<T: TxToken>(
        &mut self,
        id: Id,
        rx: &RxFrame<'_>,
        segment: &Segment<'_>,
        answer: &mut Option<T>,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let Engine::Fast(fast) = &mut connection.engine else { return false };
        if !frame::is_intact(rx.medium, rx.frame, rx.verify) {
            return true;
        }
        // For all else it is looked at in time: those times do not come nearer by a segment.
        let (taken, due) = (fast.receive(&segment.packet(), rx.combined, rx.now), fast.acknowledge_at());
        if taken == Taken::Odd
            && fast.owes()
            && let Some(frame) = answer.take()
        {
            fast.acknowledge(frame, rx.now);
        }
        // Without memory for smoltcp's socket, the segment is lost.
        match taken {
            Taken::Odd => return !self.leave_fast_path(id, Flight::UnderWay, rx.now),
            Taken::Loss => return !self.leave_fast_path(id, Flight::Lost, rx.now),
            Taken::Whole | Taken::Answerable => {}
        }
        connection.publish();
        if taken == Taken::Answerable || connection.can_grow_now() {
            self.enqueue(id);
        } else if let Some(at) = due {
            self.timers.arm(id, &mut connection.armed, at, rx.now);
        }
        true
    }

    /// Sends what a connection on the fast path has to send; whether it wants another turn. `None`: smoltcp runs it.
    pub(super) fn transmit_fast<D: Device>(&mut self, id: Id, link: &mut Link<D>, now: Instant) -> Option<bool> {
        if self.connections.get(id).is_some_and(|connection| connection.can_grow_now()) {
            self.grow(id, 0, usize::MAX / 2, now);
        }
        let connection = self.connections.get_mut(id)?;
        let Engine::Fast(fast) = &mut connection.engine else { return None };
        let outcome = match link.has_address(connection.tuple.local.addr) {
            true => fast.send(&mut link.device, BURST, now),
            // smoltcp resets it.
            false => Outcome::Lost,
        };
        let due = match outcome {
            Outcome::More | Outcome::Full => {
                link.full |= outcome == Outcome::Full;
                connection.publish();
                return Some(true);
            }
            Outcome::Done => fast.next_turn(),
            Outcome::Lost | Outcome::Silent if self.leave_fast_path(id, Flight::Lost, now) => {
                if outcome == Outcome::Silent {
                    self.connections.get_mut(id)?.engine.socket_mut()?.set_timeout(Some(Duration::ZERO));
                }
                return None;
            }
            // There will be memory at another time.
            Outcome::Lost | Outcome::Silent => Some(now),
        };
        let connection = self.connections.get_mut(id)?;
        connection.publish();
        if let Some(at) = due {
            self.timers.arm(id, &mut connection.armed, at.max(now + Duration::from_millis(1)), now);
        }
        Some(false)
    }

    /// Has smoltcp run a connection from now on. `false`: there is none, or no memory for it now.
    pub fn leave_fast_path(&mut self, id: Id, flight: Flight, now: Instant) -> bool {
        self.uncount_buffers(id);
        let left = self
            .connections
            .get_mut(id)
            .is_some_and(|connection| connection.leave_fast_path(&mut self.nursery, flight, now).is_some());
        self.count_buffers(id);
        left
    }
}
