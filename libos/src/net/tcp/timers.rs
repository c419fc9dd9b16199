//! When connections are to be looked at because time alone may give them something to do.

use alloc::collections::{BTreeSet, VecDeque};

use smoltcp::time::{Duration, Instant};

use crate::net::slab::Id;

/// A delayed acknowledgement waits this long for an answer to ride on: as Linux's does (`TCP_DELACK_MIN`).
pub const ACK_DELAY: Duration = Duration::from_millis(40);

/// The times at which connections are looked at.
///
/// Nearly all are those of acknowledgements that wait, and when their time comes nearly all have gone with an answer.
/// They wait equally long, so they come in the order in which they end, and a queue is enough for them; the others are
/// in a tree. What a connection has in the queue stays there until its time, whatever became of the connection. The
/// queue's room is made together with the connections; what finds none is in the tree.
#[derive(Debug)]
pub struct Timers {
    soon: VecDeque<(Instant, Id)>,
    late: BTreeSet<(Instant, Id)>,
}

/// What a connection has among the times: one in the queue and one in the tree at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Armed {
    soon: Option<Instant>,
    late: Option<Instant>,
}

impl Armed {
    /// Whether it is among the times at all.
    pub fn is_armed(&self) -> bool {
        self.soon.is_some() || self.late.is_some()
    }
}

impl Timers {
    /// No times.
    pub const fn new() -> Self {
        Self { soon: VecDeque::new(), late: BTreeSet::new() }
    }

    /// Makes room for `count` connections in all, and for as many that are gone; `false` when memory is short.
    pub fn reserve(&mut self, count: usize) -> bool {
        self.soon.try_reserve((2 * count).saturating_sub(self.soon.len())).is_ok()
    }

    /// The first of all.
    pub fn first(&self) -> Option<Instant> {
        let soon = self.soon.front().map(|(at, _)| *at);
        let late = self.late.first().map(|(at, _)| *at);
        soon.into_iter().chain(late).min()
    }

    /// Has a connection looked at at this time, unless it is looked at before.
    pub fn arm(&mut self, id: Id, armed: &mut Armed, at: Instant, now: Instant) {
        if armed.soon.into_iter().chain(armed.late).any(|armed| armed <= at) {
            return;
        }
        let in_order = self.soon.back().is_none_or(|(last, _)| *last <= at);
        let has_room = self.soon.len() < self.soon.capacity();
        if at <= now + ACK_DELAY && in_order && armed.soon.is_none() && has_room {
            self.soon.push_back((at, id));
            armed.soon = Some(at);
            return;
        }
        if let Some(before) = armed.late.replace(at) {
            self.late.remove(&(before, id));
        }
        self.late.insert((at, id));
    }

    /// Takes one out whose time has come, and says so to the connection that `armed_of` finds.
    pub fn pop<'c>(&mut self, now: Instant, armed_of: impl FnOnce(Id) -> Option<&'c mut Armed>) -> Option<Id> {
        if let Some((_, id)) = self.soon.pop_front_if(|(at, _)| *at <= now) {
            if let Some(armed) = armed_of(id) {
                armed.soon = None;
            }
            return Some(id);
        }
        let id = self.late.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)?;
        self.late.pop_first();
        if let Some(armed) = armed_of(id) {
            armed.late = None;
        }
        Some(id)
    }

    /// A connection is gone.
    pub fn forget(&mut self, id: Id, armed: Armed) {
        if let Some(at) = armed.late {
            self.late.remove(&(at, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::net::slab::Slab;

    proptest! {
        /// Each connection is looked at no later than at the earliest time that it asked for since the last look, and
        /// the queue and the tree hold one time of each at most.
        #[test]
        fn nobody_is_looked_at_late(steps in prop::collection::vec((0usize..4, 0u64..100, 0u64..30), 1..300)) {
            let mut slab = Slab::new();
            let ids: Vec<Id> = (0..4).map(|_| slab.insert(())).collect();
            let mut armed = BTreeMap::from_iter(ids.iter().map(|&id| (id, Armed::default())));
            let mut wanted: BTreeMap<Id, Instant> = BTreeMap::new();
            let mut timers = Timers::new();
            assert!(timers.reserve(ids.len() / 2));
            let mut now = Instant::ZERO;
            for (which, wait, pass) in steps {
                let id = ids[which];
                let at = now + Duration::from_millis(wait);
                timers.arm(id, armed.get_mut(&id).unwrap(), at, now);
                let earliest = wanted.entry(id).or_insert(at);
                *earliest = at.min(*earliest);
                prop_assert!(timers.first() <= wanted.values().min().copied());
                now += Duration::from_millis(pass);
                while let Some(id) = timers.pop(now, |id| armed.get_mut(&id)) {
                    // Who is looked at too early asks anew.
                    if wanted.get(&id).is_some_and(|at| *at <= now) {
                        wanted.remove(&id);
                    } else if let Some(&at) = wanted.get(&id) {
                        timers.arm(id, armed.get_mut(&id).unwrap(), at, now);
                    }
                }
                prop_assert!(wanted.values().all(|at| *at > now), "{wanted:?} at {now}");
                prop_assert!(timers.soon.len() + timers.late.len() <= 2 * ids.len());
                prop_assert!(wanted.keys().all(|id| armed[id].is_armed()));
            }
            for (&id, &armed) in &armed {
                timers.forget(id, armed);
            }
            prop_assert_eq!(timers.late.len(), 0);
        }
    }
}
