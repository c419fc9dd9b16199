//! Numbers that are taken and given back, one bit each: of frames, and of the places for stacks.

use core::ops::Range;

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

    /// Frees `count` numbers from `first` on; those already free or beyond the end are left alone.
    pub fn release(&mut self, first: u64, count: u64) {
        let range = self.within(first, count);
        for (word, numbers) in by_words(range.clone()) {
            self.free += u64::from((self.words[word] & numbers).count_ones());
            self.words[word] &= !numbers;
        }
        if !range.is_empty() {
            self.lowest_free = self.lowest_free.min(first);
        }
    }

    /// Takes `count` numbers from `first` on out of use; those already taken or beyond the end are left alone.
    pub fn reserve(&mut self, first: u64, count: u64) {
        for (word, numbers) in by_words(self.within(first, count)) {
            self.free -= u64::from((!self.words[word] & numbers).count_ones());
            self.words[word] |= numbers;
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
            match self.last_used(start..start + count) {
                None => {
                    self.reserve(start, count);
                    return Some(start);
                }
                Some(used) => start = self.next_free(used + 1)?,
            }
        }
        None
    }

    /// `count` numbers from `first` on, as far as there are so many.
    fn within(&self, first: u64, count: u64) -> Range<u64> {
        let end = first.saturating_add(count).min(self.capacity());
        first.min(end)..end
    }

    /// The highest number of the range that is in use.
    fn last_used(&self, range: Range<u64>) -> Option<u64> {
        by_words(range).rev().find_map(|(word, numbers)| {
            let used = self.words[word] & numbers;
            (used != 0).then(|| word as u64 * 64 + u64::from(used.ilog2()))
        })
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

/// The words that the numbers of a range are in, and which bits of each they are.
fn by_words(range: Range<u64>) -> impl DoubleEndedIterator<Item = (usize, u64)> {
    (range.start / 64..range.end.div_ceil(64)).map(move |word| {
        let (from, to) = (range.start.saturating_sub(word * 64), (range.end - word * 64).min(64));
        (word as usize, u64::MAX << from & u64::MAX >> (64 - to))
    })
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

    #[test]
    fn whole_words_and_parts_of_them_are_counted_once() {
        for first in [0, 1, 63, 64, 65, 127, 128] {
            for count in [0, 1, 2, 62, 63, 64, 65, 128, 129, 1000, u64::MAX] {
                let mut words = [0; 4];
                let mut bitmap = Bitmap::new(&mut words);
                let expected = count.min(256 - first);
                bitmap.release(first, count);
                bitmap.release(first, count);
                assert_eq!((bitmap.free(), bitmap.allocate(expected + 1)), (expected, None), "{count} from {first}");
                bitmap.reserve(first, count.saturating_sub(1));
                bitmap.reserve(first, count.saturating_sub(1));
                let left = u64::from(count > 0 && first.saturating_add(count) <= 256);
                assert_eq!(bitmap.free(), left, "{count} from {first}");
                assert_eq!(bitmap.allocate(1), (left == 1).then(|| first + count - 1));
            }
        }
        let mut words = [0; 4];
        let mut bitmap = Bitmap::new(&mut words);
        bitmap.release(300, 5);
        assert_eq!((bitmap.free(), bitmap.allocate(1)), (0, None), "beyond the end there is nothing");
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
