//! All connections, and which of them have something to do.

use std::collections::VecDeque;

use super::connection::Connection;
use super::slab::{Rest, Slab};

/// The connections, by their index.
pub struct Connections {
    entries: Slab<Connection>,
    /// Those with something to do, those that have waited longest first. No index is in it twice.
    queue: VecDeque<usize>,
}

impl Connections {
    /// No connection.
    pub fn new() -> Self {
        Self { entries: Slab::new(), queue: VecDeque::new() }
    }

    /// The index that the next connection gets.
    pub fn next_index(&self) -> usize {
        self.entries.next_index()
    }

    /// Makes sure that there is room for one more; false: there is no memory for it.
    pub fn reserve(&mut self) -> bool {
        self.entries.reserve()
    }

    /// Adds a connection at [`Self::next_index`].
    pub fn insert(&mut self, connection: Connection) {
        self.entries.insert(connection);
    }

    /// Takes a connection out, and out of the queue.
    pub fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.entries.remove(index)?;
        if connection.queued {
            self.queue.retain(|other| *other != index);
        }
        Some(connection)
    }

    /// The connection at `index`, if there is one.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Connection> {
        self.entries.get_mut(index)
    }

    /// The connection at `index`, and all others.
    pub fn apart(&mut self, index: usize) -> Option<(&mut Connection, Rest<'_, Connection>)> {
        self.entries.apart(index)
    }

    /// All connections with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.entries.iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Connection)> {
        self.entries.iter_mut()
    }

    /// Puts the connection at `index` at the end of the queue, unless it is in it.
    pub fn enqueue(&mut self, index: usize) {
        let Some(connection) = self.entries.get_mut(index) else { return };
        if !std::mem::replace(&mut connection.queued, true) {
            self.queue.push_back(index);
        }
    }

    /// Puts those at the end of the queue that are `meant`, unless they are in it.
    pub fn enqueue_all(&mut self, meant: impl Fn(&Connection) -> bool) {
        for (index, connection) in self.entries.iter_mut() {
            if meant(connection) && !std::mem::replace(&mut connection.queued, true) {
                self.queue.push_back(index);
            }
        }
    }

    /// Takes the first index out of the queue.
    pub fn dequeue(&mut self) -> Option<usize> {
        let index = self.queue.pop_front()?;
        self.entries.get_mut(index).into_iter().for_each(|connection| connection.queued = false);
        Some(index)
    }

    /// How many are in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The index at this place of the queue.
    pub fn queued_at(&self, place: usize) -> Option<usize> {
        self.queue.get(place).copied()
    }

    /// Calls `act` with each connection in the queue.
    pub fn each_queued(&mut self, mut act: impl FnMut(usize, &mut Connection)) {
        for &index in &self.queue {
            if let Some(connection) = self.entries.get_mut(index) {
                act(index, connection);
            }
        }
    }

    /// Turns the queue, so that `index` is its first.
    pub fn turn_to(&mut self, index: usize) {
        let place = self.queue.iter().position(|other| *other == index).unwrap_or(0);
        self.queue.rotate_left(place);
    }
}
