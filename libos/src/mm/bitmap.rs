//! Numbers that are taken and given back, one bit each: of frames, and of the places for stacks.

/// Numbers from 0 on: a set bit is a number in use (or one that there is not).
#[derive(Debug)]
pub struct Bitmap<'a> {
    words: &'a mut [u64],
    free: u64,
    /// Every number below this one is in use.
    lowest_free: u64,
}

impl<'a> Bitmap<'a> {
    /// A bitmap of `words.len() * 64` numbers, all in use.
    pub fn new(words: &'a mut [u64]) -> Self {
        words.fill(u64::MAX);
        let capacity = words.len() as u64 * 64;
        Self { words, free: 0, lowest_free: capacity }
    }

    /// How many numbers there are.
    pub fn capacity(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    /// How many of them are free.
    pub fn free(&self) -> u64 {
        self.free
    }

    fn is_used(&self, number: u64) -> bool {
        self.words[(number / 64) as usize] & 1 << (number % 64) != 0
    }

    /// Frees `count` numbers from `first` on; those already free or beyond the end are left alone.
    pub fn release(&mut self, first: u64, count: u64) {
        let end = first.saturating_add(count).min(self.capacity());
        for number in first..end {
            if self.is_used(number) {
                self.words[(number / 64) as usize] &= !(1 << (number % 64));
                self.free += 1;
            }
        }
        if first < end {
            self.lowest_free = self.lowest_free.min(first);
        }
    }

    /// Takes `count` numbers from `first` on out of use; those already taken or beyond the end are left alone.
    pub fn reserve(&mut self, first: u64, count: u64) {
        for number in first..first.saturating_add(count).min(self.capacity()) {
            if !self.is_used(number) {
                self.words[(number / 64) as usize] |= 1 << (number % 64);
                self.free -= 1;
            }
        }
    }

    /// Takes `count` numbers that follow each other, the lowest such run; the first one.
    pub fn allocate(&mut self, count: u64) -> Option<u64> {
        if count == 0 || count > self.free {
            return None;
        }
        self.lowest_free = self.next_free(self.lowest_free)?;
        let mut start = self.lowest_free;
        while start + count <= self.capacity() {
            match (start..start + count).rev().find(|&number| self.is_used(number)) {
                None => {
                    self.reserve(start, count);
                    return Some(start);
                }
                Some(used) => start = self.next_free(used + 1)?,
            }
        }
        None
    }

    fn next_free(&self, from: u64) -> Option<u64> {
        let mut word = (from / 64) as usize;
        let mut mask = u64::MAX << (from % 64);
        while let Some(&used) = self.words.get(word) {
            let candidates = !used & mask;
            if candidates != 0 {
                return Some(word as u64 * 64 + u64::from(candidates.trailing_zeros()));
            }
            mask = u64::MAX;
            word += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_bitmap_has_nothing_to_give() {
        let mut words = [0; 4];
        assert_eq!(Bitmap::new(&mut words).allocate(1), None);
    }

    #[test]
    fn runs_do_not_cross_reserved_numbers() {
        let mut words = [0; 2];
        let mut bitmap = Bitmap::new(&mut words);
        bitmap.release(0, 128);
        bitmap.reserve(10, 1);
        assert_eq!(bitmap.allocate(11), Some(11));
        assert_eq!(bitmap.allocate(10), Some(0));
        assert_eq!(bitmap.free(), 128 - 22);
    }

    proptest! {
        #[test]
        fn no_number_is_given_twice(requests in proptest::collection::vec((1u64..40, any::<bool>()), 1..200)) {
            let mut words = [0; 16];
            let mut bitmap = Bitmap::new(&mut words);
            bitmap.release(3, 1000);
            let mut owned = vec![false; 1024];
            let mut runs: Vec<(u64, u64)> = Vec::new();
            for (count, give_back) in requests {
                if give_back && !runs.is_empty() {
                    let (first, count) = runs.swap_remove(count as usize % runs.len());
                    bitmap.release(first, count);
                    owned[first as usize..(first + count) as usize].fill(false);
                } else if let Some(first) = bitmap.allocate(count) {
                    prop_assert!(first >= 3 && first + count <= 1003);
                    for number in first..first + count {
                        prop_assert!(!std::mem::replace(&mut owned[number as usize], true));
                    }
                    runs.push((first, count));
                } else {
                    let longest = owned[3..1003].split(|&used| used).map(<[bool]>::len).max();
                    prop_assert!(longest < Some(count as usize));
                }
                let used: u64 = runs.iter().map(|run| run.1).sum();
                prop_assert_eq!(bitmap.free(), 1000 - used);
            }
        }
    }
}
