//! Which ready thread comes next: two classes, each first come first served.
//!
//! Threads that were woken (or are new) go before those that were preempted or gave way, since what waits for an event
//! is mostly short and urgent. They cannot keep the others waiting for ever: once these have been passed over for
//! [`PATIENCE`], the first of them goes next. All operations take constant time.

use core::time::Duration;

use intrusive_collections::linked_list::LinkedListOps;
use intrusive_collections::{Adapter, LinkedList, PointerOps};

use crate::instant::Instant;

/// How long the preempted may be passed over.
pub const PATIENCE: Duration = Duration::from_millis(8);

/// Why a thread is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What it waited for has happened, or it is new.
    Woken,
    /// It could have gone on running.
    Preempted,
}

/// What a list of this adapter holds.
type Pointer<A> = <<A as Adapter>::PointerOps as PointerOps>::Pointer;

/// Ready threads in the order in which they run.
pub struct ReadyQueue<A: Adapter>
where
    A::LinkOps: LinkedListOps,
{
    woken: LinkedList<A>,
    preempted: LinkedList<A>,
    length: usize,
    /// Since when the first of the preempted has been passed over.
    passed_over_since: Instant,
}

impl<A: Adapter> ReadyQueue<A>
where
    A::LinkOps: LinkedListOps,
{
    /// A queue with nobody in it; each class has a list of its own.
    pub const fn new(woken: A, preempted: A) -> Self {
        Self {
            woken: LinkedList::new(woken),
            preempted: LinkedList::new(preempted),
            length: 0,
            passed_over_since: Instant::BOOT,
        }
    }

    /// How many wait.
    #[inline]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts a thread at the end of its class.
    #[inline]
    pub fn push(&mut self, class: Class, thread: Pointer<A>, now: Instant) {
        self.length += 1;
        match class {
            Class::Woken => self.woken.push_back(thread),
            Class::Preempted => {
                if self.preempted.is_empty() {
                    self.passed_over_since = now;
                }
                self.preempted.push_back(thread);
            }
        }
    }

    /// Takes the thread that comes next.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<Pointer<A>> {
        let overdue = !self.preempted.is_empty() && now >= self.passed_over_since + PATIENCE;
        let woken = if overdue { None } else { self.woken.pop_front() };
        let next = woken.or_else(|| {
            self.passed_over_since = now;
            self.preempted.pop_front()
        })?;
        self.length -= 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use intrusive_collections::{LinkedListLink, intrusive_adapter};

    use super::*;

    struct Item {
        link: LinkedListLink,
        name: u32,
    }

    intrusive_adapter!(ItemAdapter = Box<Item>: Item { link => LinkedListLink });

    struct Queue(ReadyQueue<ItemAdapter>);

    impl Queue {
        fn new() -> Self {
            Self(ReadyQueue::new(ItemAdapter::NEW, ItemAdapter::NEW))
        }

        fn push(&mut self, class: Class, name: u32, now: Instant) {
            self.0.push(class, Box::new(Item { link: LinkedListLink::new(), name }), now);
        }

        fn pop(&mut self, now: Instant) -> Option<u32> {
            self.0.pop(now).map(|item| item.name)
        }
    }

    fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanos(nanoseconds)
    }

    #[test]
    fn each_class_is_served_in_order_and_the_woken_first() {
        let mut queue = Queue::new();
        for (class, name) in [(Class::Preempted, 1), (Class::Woken, 2), (Class::Preempted, 3), (Class::Woken, 4)] {
            queue.push(class, name, at(0));
        }
        assert_eq!(queue.0.len(), 4);
        let order: Vec<_> = core::iter::from_fn(|| queue.pop(at(1))).collect();
        assert_eq!(order, [2, 4, 1, 3]);
        assert!(queue.0.is_empty());
        assert_eq!(queue.pop(at(0) + PATIENCE * 2), None);
        assert_eq!(queue.0.len(), 0);
    }

    #[test]
    fn the_preempted_are_not_passed_over_for_ever() {
        let mut queue = Queue::new();
        queue.push(Class::Preempted, 1, at(0));
        queue.push(Class::Preempted, 2, at(0));
        let mut order = Vec::new();
        // Somebody is woken every millisecond.
        for now in (1..=20).map(|millisecond| at(millisecond * 1_000_000)) {
            queue.push(Class::Woken, 100, now);
            order.push(queue.pop(now).unwrap());
        }
        let served: Vec<_> = order.iter().enumerate().filter(|(_, name)| **name < 100).collect();
        assert_eq!(served, [(7, &1), (15, &2)]);
    }

    #[test]
    fn patience_begins_when_the_first_is_queued() {
        let mut queue = Queue::new();
        queue.push(Class::Preempted, 1, at(0));
        assert_eq!(queue.pop(at(1)), Some(1));
        queue.push(Class::Preempted, 2, at(0) + PATIENCE * 3);
        queue.push(Class::Woken, 3, at(0) + PATIENCE * 3);
        assert_eq!(queue.pop(at(0) + (PATIENCE * 4 - Duration::from_nanos(1))), Some(3));
        queue.push(Class::Woken, 4, at(0) + PATIENCE * 4);
        assert_eq!(queue.pop(at(0) + PATIENCE * 4), Some(2));
    }
}
