//! Entries that keep their index while they live.
//!
//! The crate `slab` cannot say that there is no memory for one more, nor lend one entry beside all others.

/// Entries by index; the indices of removed ones are used again.
pub struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    /// No entries.
    pub fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    /// The index that the next entry gets.
    pub fn next_index(&self) -> usize {
        self.free.last().copied().unwrap_or(self.entries.len())
    }

    /// Makes sure that there is room for one more entry; false: there is no memory for it.
    pub fn reserve(&mut self) -> bool {
        !self.free.is_empty()
            || self.entries.try_reserve(1).is_ok() && self.free.try_reserve(self.entries.len() + 1).is_ok()
    }

    /// Adds an entry at [`Self::next_index`].
    pub fn insert(&mut self, entry: T) {
        match self.free.pop() {
            Some(index) => self.entries[index] = Some(entry),
            None => self.entries.push(Some(entry)),
        }
    }

    /// The entry at `index`, if there is one.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.entries.get_mut(index)?.as_mut()
    }

    /// The entry at `index`, and all others.
    pub fn apart(&mut self, index: usize) -> Option<(&mut T, Rest<'_, T>)> {
        let (before, from) = self.entries.split_at_mut_checked(index)?;
        let (entry, after) = from.split_first_mut()?;
        Some((entry.as_mut()?, Rest { before, after }))
    }

    /// Takes the entry at `index` out.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let entry = self.entries.get_mut(index)?.take()?;
        self.free.push(index);
        Some(entry)
    }

    /// All entries with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(index, entry)| Some((index, entry.as_mut()?)))
    }
}

/// All entries but one.
pub struct Rest<'a, T> {
    before: &'a mut [Option<T>],
    after: &'a mut [Option<T>],
}

impl<T> Rest<'_, T> {
    /// These entries.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.before.iter_mut().chain(self.after.iter_mut()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_used_again() {
        let mut slab = Slab::new();
        for name in ["a", "b", "c"] {
            slab.insert(name);
        }
        assert_eq!(slab.remove(1), Some("b"));
        assert_eq!((slab.remove(1), slab.get_mut(1)), (None, None));
        assert_eq!(slab.next_index(), 1);
        slab.insert("d");
        assert_eq!(slab.next_index(), 3);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &"a"), (1, &"d"), (2, &"c")]);
        let (entry, mut rest) = slab.apart(1).unwrap();
        assert_eq!((*entry, rest.iter_mut().map(|name| *name).collect::<String>()), ("d", "ac".into()));
        slab.remove(1);
        assert!(slab.apart(1).is_none() && slab.apart(3).is_none() && slab.apart(9).is_none());
    }
}
