//! Lines of connections that wait for something, whose room is made together with the connections.

use alloc::collections::VecDeque;

use crate::net::slab::{Id, Slab};

/// A line in which each connection is once at most. Those that are gone stay in it until they are in the way.
#[derive(Debug)]
pub struct Line(VecDeque<Id>);

impl Line {
    /// A line with nobody in it.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// How many are in it, those that are gone among them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes room for `count` connections in all; `false` when memory is short. There is as much for those that are
    /// gone, so that they are seldom looked for.
    pub fn reserve(&mut self, count: usize) -> bool {
        self.0.try_reserve((2 * count).saturating_sub(self.0.len())).is_ok()
    }

    /// Adds one of these connections, for all of which there was room.
    pub fn push<T>(&mut self, id: Id, connections: &Slab<T>) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|&id| connections.get(id).is_some());
        }
        self.0.push_back(id);
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Id> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_every_connection_without_memory_that_was_not_asked_for() {
        let (mut line, mut connections) = (Line::new(), Slab::new());
        let mut last = None;
        for _ in 0..1000 {
            assert!(line.reserve(connections.len() + 1));
            let capacity = line.0.capacity();
            let id = connections.insert(());
            line.push(id, &connections);
            assert_eq!(line.0.capacity(), capacity);
            // Every other one is gone at once, and still in the line.
            if let Some(gone) = last.take() {
                connections.remove(gone);
            } else {
                last = Some(id);
            }
        }
        let waiting = core::iter::from_fn(|| line.pop()).filter(|&id| connections.get(id).is_some()).count();
        assert_eq!(waiting, connections.len());
        assert!(line.is_empty());
    }
}
