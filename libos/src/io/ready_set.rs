//! Objects that say by themselves when they become ready, to who waits for all of them: as Linux's epoll(7) does,
//! edge-triggered.
//!
//! `poll` looks at every object in each round. Here an object puts itself into a list when it becomes ready for
//! something that it was not ready for before, and whoever waits takes the list.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use core::time::Duration;

use super::poll::poll;
use super::pollers;
use super::readiness::Ready;
use crate::sync::{IrqLock, class};
use crate::time::now;

/// An object has become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whoever added it calls it so.
    pub token: usize,
    /// What it has become ready for since the last event. It may have been used up meanwhile.
    pub ready: Ready,
}

/// Members that have become ready and were not taken yet.
type List = IrqLock<VecDeque<Arc<Member>>, class::Object>;

/// A set of objects.
#[derive(Debug, Default)]
pub struct ReadySet {
    list: Arc<List>,
}

/// An object's place in a set.
#[derive(Debug)]
pub struct Member {
    token: usize,
    list: Arc<List>,
    /// What it has become ready for and nobody was told.
    news: AtomicU16,
    queued: AtomicBool,
}

impl Member {
    /// The object has become ready for this.
    pub(super) fn becomes(self: &Arc<Self>, news: Ready) {
        self.news.fetch_or(news.bits(), Ordering::SeqCst);
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.list.lock().push_back(self.clone());
            pollers::notify();
        }
    }

    /// Has the set's waiter told of this token, as if an object had become readable.
    pub fn wake(self: &Arc<Self>) {
        self.becomes(Ready::IN);
    }
}

impl ReadySet {
    /// A place in the set; `None` when memory is short. The list has room for every place.
    pub fn place(&self, token: usize) -> Option<Arc<Member>> {
        // Each place holds on to the list. This one does before they are counted, so that of two that are made at the
        // same time one sees both.
        let list = self.list.clone();
        let places = Arc::strong_count(&list);
        let mut queue = list.lock();
        let missing = places.saturating_sub(queue.len());
        queue.try_reserve(missing).ok()?;
        drop(queue);
        let (news, queued) = (AtomicU16::new(0), AtomicBool::new(false));
        Some(Arc::new(Member { token, list, news, queued }))
    }

    /// Waits until a member is ready, or for `timeout`, and fills `events` with as many as it has room for.
    pub fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) {
        events.clear();
        let deadline = timeout.map(|timeout| now().saturating_add(timeout));
        poll(deadline, || self.take(events));
    }

    fn take(&self, events: &mut Vec<Event>) -> usize {
        while events.len() < events.capacity() {
            let Some(member) = self.list.lock().pop_front() else { break };
            // In this order: what it becomes meanwhile brings it into the list again.
            member.queued.store(false, Ordering::SeqCst);
            let ready = Ready::from_bits_retain(member.news.swap(0, Ordering::SeqCst));
            if !ready.is_empty() {
                events.push(Event { token: member.token, ready });
            }
        }
        events.len()
    }
}
