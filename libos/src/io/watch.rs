//! Readiness with somebody waiting for it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::pollers;
use super::readiness::{Ready, Signal};
use super::ready_set::Member;
use crate::instant::Instant;
use crate::sync::Once;
use crate::task::{NoKill, TimedOut, WaitQueue};

/// An object's readiness, the threads that block on it, and whether a poller is interested in it.
///
/// Pollers are woken through one queue for all of them, but only by objects that they asked about: each notes the
/// interest here when it looks, and a publication that matches takes the note away again.
#[derive(Debug)]
pub struct Watch {
    ready: AtomicU16,
    interest: AtomicU16,
    blocked: AtomicU32,
    queue: WaitQueue,
    /// Its place in a set, once it has one.
    member: Once<Arc<Member>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            ready: AtomicU16::new(0),
            interest: AtomicU16::new(0),
            blocked: AtomicU32::new(0),
            queue: WaitQueue::for_descriptors(),
            member: Once::new(),
        }
    }
}

impl Signal for Watch {
    fn publish(&self, ready: Ready) {
        // Sequentially consistent against `look`: either the poller sees the new readiness, or we see its interest.
        let before = Ready::from_bits_retain(self.ready.swap(ready.bits(), Ordering::SeqCst));
        if self.blocked.load(Ordering::SeqCst) > 0 {
            self.queue.wake_all();
        }
        if self.interest.load(Ordering::SeqCst) & ready.bits() != 0 {
            self.interest.store(0, Ordering::SeqCst);
            pollers::notify();
        }
        if let Some(member) = self.member.get()
            && !before.contains(ready)
        {
            member.becomes(ready.difference(before));
        }
    }
}

impl Watch {
    /// The readiness now.
    pub fn ready(&self) -> Ready {
        Ready::from_bits_retain(self.ready.load(Ordering::SeqCst))
    }

    /// The readiness now, for a poller that wants to be notified when it comes to contain any of `interest`.
    pub fn look(&self, interest: Ready) -> Ready {
        let wanted = (interest | Ready::ALWAYS).bits();
        if self.interest.load(Ordering::SeqCst) & wanted != wanted {
            self.interest.fetch_or(wanted, Ordering::SeqCst);
        }
        self.ready()
    }

    /// Takes a place in a set, which is told at once of what the object is ready for. `false`: it has one already.
    pub fn join(&self, place: Arc<Member>) -> bool {
        let mut mine = false;
        let member = self.member.call_once(|| {
            mine = true;
            place
        });
        // After it was set: whatever is published from here on reaches the set by itself.
        if mine && !self.ready().is_empty() {
            member.becomes(self.ready());
        }
        mine
    }

    /// Blocks until the object is ready for any of `wanted`, or `deadline` has passed.
    pub fn wait(&self, wanted: Ready, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let _no_kill = NoKill::new();
        self.blocked.fetch_add(1, Ordering::SeqCst);
        let outcome = self.queue.wait_until(deadline, || self.ready().intersects(wanted).then_some(()));
        self.blocked.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}
