//! A table whose indices carry a generation, so that a stale index finds nothing instead of a stranger.

use alloc::vec::Vec;

/// Names an entry of a [`Slab`] for as long as that entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: u32,
}

/// Entries of one kind.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Makes room for one more entry; `false` when memory is short.
    pub fn reserve(&mut self) -> bool {
        // As much for the list of those that are free, which every entry comes to in the end.
        let free = self.free.try_reserve(self.slots.len() + 1 - self.free.len().min(self.slots.len())).is_ok();
        free && (!self.free.is_empty() || self.slots.try_reserve(1).is_ok())
    }

    /// Adds an entry.
    pub fn insert(&mut self, value: T) -> Id {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let (generation, slot) = &mut self.slots[index as usize];
            *slot = Some(value);
            return Id { index, generation: *generation };
        }
        self.slots.push((0, Some(value)));
        Id { index: self.slots.len() as u32 - 1, generation: 0 }
    }

    /// The entry, unless it was removed.
    pub fn get(&self, id: Id) -> Option<&T> {
        let (generation, slot) = self.slots.get(id.index as usize)?;
        if *generation == id.generation { slot.as_ref() } else { None }
    }

    /// The entry, to be changed, unless it was removed.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let (generation, slot) = self.slots.get_mut(id.index as usize)?;
        if *generation == id.generation { slot.as_mut() } else { None }
    }

    /// Removes the entry.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let (generation, slot) = self.slots.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        let value = slot.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(id.index);
        self.len -= 1;
        Some(value)
    }

    /// How many entries there were at once, at most.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The name of the entry in this place.
    pub fn id_at(&self, index: usize) -> Option<Id> {
        let (generation, slot) = self.slots.get(index)?;
        slot.as_ref().map(|_| Id { index: index as u32, generation: *generation })
    }

    /// Every entry, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, slot)| slot.as_mut())
    }

    /// Every entry with its name.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, (generation, slot))| {
            Some((Id { index: index as u32, generation: *generation }, slot.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
        assert!(slab.iter().eq([(second, &'b')]));
    }
}
