//! A directory's names, in order.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Error;
use super::budget::Budget;
use super::content::reserve;

/// A node's place among the tree's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    /// The directory that it is in; the root's own parent is the root.
    pub(super) parent: NodeId,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    node: NodeId,
}

impl Directory {
    pub(super) fn new(parent: NodeId) -> Self {
        Self { parent, entries: Vec::new() }
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.name).cmp(name))
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<NodeId> {
        self.place(name).ok().map(|at| self.entries[at].node)
    }

    /// Adds a name that is not there yet.
    pub(super) fn insert(&mut self, name: &[u8], node: NodeId, budget: &mut Budget) -> Result<(), Error> {
        let Err(at) = self.place(name) else { return Err(Error::Exists) };
        if self.entries.len() == self.entries.capacity() {
            let more = self.entries.len().max(4);
            reserve(&mut self.entries, more, budget).or_else(|_| reserve(&mut self.entries, 1, budget))?;
        }
        let mut own = Vec::new();
        budget.take(name.len())?;
        if own.try_reserve_exact(name.len()).is_err() {
            budget.give_back(name.len());
            return Err(Error::NoSpace);
        }
        own.extend_from_slice(name);
        self.entries.insert(at, Entry { name: own.into_boxed_slice(), node });
        Ok(())
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, name: &[u8], budget: &mut Budget) {
        if let Ok(at) = self.place(name) {
            budget.give_back(self.entries.remove(at).name.len());
        }
    }

    /// Frees what an empty directory takes.
    pub(super) fn clear(&mut self, budget: &mut Budget) {
        budget.give_back(self.entries.capacity() * size_of::<Entry>());
        self.entries = Vec::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names with what they name, sorted by bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], NodeId)> {
        self.entries.iter().map(|entry| (&*entry.name, entry.node))
    }
}
