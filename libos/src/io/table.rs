//! The numbers by which a program names its open objects.

use alloc::vec::Vec;

/// Open objects by number; the lowest free number is given out first, as POSIX asks.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Option<T>>,
    /// Every number below this one is taken.
    lowest_free: usize,
    limit: usize,
}

/// Every number is taken, or there is no memory for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<T> Table<T> {
    /// An empty table for at most `limit` objects.
    pub const fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), lowest_free: 0, limit }
    }

    /// Gives `object` the lowest number that is free and not below `from`.
    pub fn insert(&mut self, object: T, from: usize) -> Result<usize, Full> {
        let start = from.max(self.lowest_free);
        let free = self.slots.iter().skip(start).position(Option::is_none).map(|at| at + start);
        let number = free.unwrap_or(self.slots.len().max(start));
        if number >= self.limit {
            return Err(Full);
        }
        if number >= self.slots.len() {
            self.slots.try_reserve(number + 1 - self.slots.len()).map_err(|_| Full)?;
            self.slots.resize_with(number + 1, || None);
        }
        self.slots[number] = Some(object);
        if start == self.lowest_free {
            self.lowest_free = number + 1;
        }
        Ok(number)
    }

    /// The object with this number.
    pub fn get(&self, number: i32) -> Option<&T> {
        self.slots.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// How many objects are open.
    pub fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Takes the object away; its number is free.
    pub fn remove(&mut self, number: i32) -> Option<T> {
        let number = usize::try_from(number).ok()?;
        let object = self.slots.get_mut(number)?.take()?;
        self.lowest_free = self.lowest_free.min(number);
        Some(object)
    }

    /// Takes every object away.
    pub fn clear(&mut self) -> Vec<Option<T>> {
        self.lowest_free = 0;
        core::mem::take(&mut self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_given() {
        let mut table = Table::new(5);
        for want in 0..3 {
            assert_eq!(table.insert('x', 0), Ok(want));
        }
        assert_eq!(table.remove(1), Some('x'));
        assert_eq!(table.remove(1), None);
        assert_eq!(table.insert('y', 0), Ok(1));
        assert_eq!(table.insert('z', 4), Ok(4));
        assert_eq!(table.get(3), None);
        assert_eq!((table.get(4), table.get(-1), table.get(i32::MAX)), (Some(&'z'), None, None));
        assert_eq!((table.insert('w', 0), table.insert('v', 0)), (Ok(3), Err(Full)));
        assert_eq!(table.insert('v', 1000), Err(Full));
        assert_eq!((table.remove(4), table.remove(2)), (Some('z'), Some('x')));
        assert_eq!((table.insert('p', 3), table.insert('q', 0), table.insert('r', 0)), (Ok(4), Ok(2), Err(Full)));
        assert_eq!(table.clear().into_iter().flatten().count(), 5);
        assert_eq!(table.get(0), None);
    }
}
