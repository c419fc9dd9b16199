//! How many superseded puts are still on the medium, by key.
//!
//! A removal must stay on the medium as long as a put that it shadows is there, or recovery would bring the key back.
//! Counters by the key's hash answer that: zero means that no put of such a key is left. Keys that share a counter make
//! the answer cautious, never wrong.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Stale {
    /// A power of two of them. [`FULL`] means that the count is in `large`.
    counts: Vec<u8>,
    /// Counts of [`FULL`] and more.
    large: BTreeMap<u32, u64>,
}

const FULL: u8 = u8::MAX;

impl Stale {
    /// For a medium of `len` bytes: a counter for each 256 of them.
    pub(crate) fn new(len: u64) -> Stale {
        let counters = (len / 256).next_power_of_two().clamp(1 << 12, 1 << 30);
        Stale { counts: vec![0; counters as usize], large: BTreeMap::new() }
    }

    /// Which counter a hash has. The index uses the low bits of the hash, this the high ones.
    pub(crate) fn counter(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & (self.counts.len() - 1) as u32
    }

    /// The count of one counter.
    pub(crate) fn count(&self, counter: u32) -> u64 {
        match self.counts[counter as usize] {
            FULL => self.large.get(&counter).copied().unwrap_or(u64::from(FULL)),
            count => u64::from(count),
        }
    }

    /// Adds one superseded put.
    pub(crate) fn add(&mut self, counter: u32) {
        self.set(counter, self.count(counter) + 1);
    }

    /// Takes off superseded puts that are no longer on the medium.
    pub(crate) fn subtract(&mut self, counter: u32, count: u64) {
        self.set(counter, self.count(counter).saturating_sub(count));
    }

    fn set(&mut self, counter: u32, count: u64) {
        if count < u64::from(FULL) {
            if self.counts[counter as usize] == FULL {
                self.large.remove(&counter);
            }
            self.counts[counter as usize] = count as u8;
        } else {
            self.counts[counter as usize] = FULL;
            self.large.insert(counter, count);
        }
    }

    /// Sets every count to zero.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.large.clear();
    }

    /// DRAM that the counters take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.counts.len() + self.large.len() * 2 * size_of::<(u32, u64)>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Stale;

    #[test]
    fn counts_beyond_a_byte_come_back_down() {
        let mut stale = Stale::new(1 << 20);
        let counter = stale.counter(u64::MAX);
        for count in 1..=1000 {
            stale.add(counter);
            assert_eq!(stale.count(counter), count);
        }
        stale.subtract(counter, 700);
        assert_eq!(stale.count(counter), 300);
        stale.subtract(counter, 100);
        assert_eq!((stale.count(counter), stale.large.len()), (200, 0));
        assert_eq!(stale.count(stale.counter(0)), 0);
        stale.clear();
        assert_eq!(stale.count(counter), 0);
    }
}
