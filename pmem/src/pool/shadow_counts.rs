//! How many superseded puts are still on the medium, by key.
//!
//! A removal must stay on the medium as long as a put that it shadows is there, or recovery would bring the key back.
//! Counters by the key's hash answer that: zero means that no put of such a key is left. Keys that share a counter make
//! the answer cautious, never wrong.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::pool::dram::{NoRoom, filled};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ShadowCounts {
    /// A power of two of them. [`FULL`] means that the count is in `large`.
    counts: Vec<u8>,
    /// Counts of [`FULL`] and more.
    large: Counts,
    /// There was no DRAM for one of those: what is counted as [`FULL`] may be anything above.
    uncertain: bool,
    /// Some may not have been counted at all.
    doubted: bool,
}

/// Numbers by counter, as many as there is DRAM for.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashTable<(u32, u64)>);

impl Counts {
    /// The number of a counter; 0 if it has none.
    pub(crate) fn get(&self, counter: u32) -> u64 {
        self.0.find(scatter(counter), |(known, _)| *known == counter).map_or(0, |(_, count)| *count)
    }

    /// All numbers, in any order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().copied()
    }

    /// Adds to the number of a counter.
    pub(crate) fn add(&mut self, counter: u32, count: u64) -> Result<(), NoRoom> {
        self.set(counter, self.get(counter).saturating_add(count))
    }

    fn set(&mut self, counter: u32, count: u64) -> Result<(), NoRoom> {
        match self.0.find_mut(scatter(counter), |(known, _)| *known == counter) {
            Some((_, known)) => *known = count,
            None => {
                self.0.try_reserve(1, |(counter, _)| scatter(*counter)).map_err(|_| NoRoom)?;
                self.0.insert_unique(scatter(counter), (counter, count), |(counter, _)| scatter(*counter));
            }
        }
        Ok(())
    }

    fn remove(&mut self, counter: u32) {
        if let Ok(entry) = self.0.find_entry(scatter(counter), |(known, _)| *known == counter) {
            entry.remove();
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> u64 {
        self.0.allocation_size() as u64
    }
}

/// Counters are bits of a hash already; a table wants the high bits to differ, too.
fn scatter(counter: u32) -> u64 {
    u64::from(counter).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

const FULL: u8 = u8::MAX;
/// Counters in a part, as a checkpoint keeps them.
const PART: usize = 16 << 10;
/// Bytes of a count in [`ShadowCounts::large`], as a checkpoint keeps it: the counter, and the count.
const LARGE: usize = 16;

impl ShadowCounts {
    /// For a medium of `len` bytes: a counter for each 256 of them.
    pub(crate) fn new(len: u64) -> Result<ShadowCounts, NoRoom> {
        Ok(ShadowCounts {
            counts: filled(Self::counters(len), 0)?,
            large: Counts::default(),
            uncertain: false,
            doubted: false,
        })
    }

    /// How many counters a medium of `len` bytes has; each takes a byte.
    pub(crate) fn counters(len: u64) -> usize {
        (len / 256).next_power_of_two().clamp(1 << 12, 1 << 30) as usize
    }

    /// Whether counts may be higher than they say.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain || self.doubted
    }

    /// Notes that some may not have been counted.
    pub(crate) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Whether more of them may be on the medium, of keys that share a counter with this hash, than those that are
    /// `leaving` it.
    pub(crate) fn may_be_more_than(&self, leaving: &Counts, hash: u64) -> bool {
        let counter = self.counter(hash);
        self.is_uncertain() || self.count(counter) > leaving.get(counter)
    }

    /// Takes over what a scan of all records has counted. Doubts stay.
    pub(crate) fn take_scanned(&mut self, scanned: ShadowCounts) {
        *self = ShadowCounts { doubted: self.doubted, ..scanned };
    }

    /// Which counter a hash has. The index uses the low bits of the hash, this the high ones.
    pub(crate) fn counter(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & (self.counts.len() - 1) as u32
    }

    /// The count of one counter.
    pub(crate) fn count(&self, counter: u32) -> u64 {
        match self.counts[counter as usize] {
            FULL => self.large.get(counter).max(u64::from(FULL)),
            count => u64::from(count),
        }
    }

    /// Adds one superseded put.
    pub(crate) fn add(&mut self, counter: u32) {
        self.set(counter, self.count(counter).saturating_add(1));
    }

    /// Takes off superseded puts that are no longer on the medium.
    pub(crate) fn subtract(&mut self, counter: u32, count: u64) {
        self.set(counter, self.count(counter).saturating_sub(count));
    }

    fn set(&mut self, counter: u32, count: u64) {
        if count < u64::from(FULL) {
            if self.counts[counter as usize] == FULL {
                self.large.remove(counter);
            }
            self.counts[counter as usize] = count as u8;
        } else {
            self.counts[counter as usize] = FULL;
            self.uncertain |= self.large.set(counter, count).is_err();
        }
    }

    /// Sets every count to zero.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.large = Counts::default();
        (self.uncertain, self.doubted) = (false, false);
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> u32 {
        self.counts.len().div_ceil(PART) as u32
    }

    /// Bytes of all parts, as [`Self::encode`] writes them.
    pub(crate) fn encoded_len(&self) -> u64 {
        let parts = self.counts.chunks(PART).filter(|part| part.iter().any(|count| *count != 0));
        parts.map(|part| part.len() as u64).sum::<u64>() + (self.large.len() * LARGE) as u64
    }

    /// Appends a part to `out`; nothing if all its counts are zero.
    pub(crate) fn encode(&self, part: u32, out: &mut Vec<u8>) {
        let first = part as usize * PART;
        let counts = &self.counts[first..self.counts.len().min(first + PART)];
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        out.extend_from_slice(counts);
        let full = (first as u32..).zip(counts).filter(|(_, count)| **count == FULL);
        for (counter, _) in full {
            out.extend_from_slice(&u64::from(counter).to_le_bytes());
            out.extend_from_slice(&self.count(counter).to_le_bytes());
        }
    }

    /// Adds the counts of a part that [`Self::encode`] wrote. `false`, and nothing added, if it is none.
    pub(crate) fn decode(&mut self, part: u32, bytes: &[u8]) -> bool {
        let first = part as usize * PART;
        if first >= self.counts.len() || bytes.is_empty() {
            return bytes.is_empty();
        }
        let Some((counts, large)) = bytes.split_at_checked(PART.min(self.counts.len() - first)) else { return false };
        let (large, rest) = large.as_chunks::<LARGE>();
        let large = || {
            large.iter().map(|entry| {
                let (words, _) = entry.as_chunks::<8>();
                (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]))
            })
        };
        let full = (first as u64..).zip(counts).filter(|(_, count)| **count == FULL).map(|(counter, _)| counter);
        if !rest.is_empty() || !large().map(|(counter, _)| counter).eq(full) {
            return false;
        }
        let small = (first as u32..).zip(counts).filter(|(_, count)| !matches!(**count, 0 | FULL));
        for (counter, count) in small.map(|(counter, count)| (counter, u64::from(*count))) {
            self.set(counter, self.count(counter) + count);
        }
        for (counter, count) in large() {
            self.set(counter as u32, self.count(counter as u32).saturating_add(count));
        }
        true
    }

    /// DRAM that the counters take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.len() as u64 + self.large.bytes()
    }
}

impl PartialEq for ShadowCounts {
    fn eq(&self, other: &ShadowCounts) -> bool {
        self.counts == other.counts && self.large.iter().all(|(counter, count)| other.count(counter) == count)
    }
}

#[cfg(test)]
mod tests {
    use super::ShadowCounts;

    #[test]
    fn counts_beyond_a_byte_come_back_down() {
        let mut shadows = ShadowCounts::new(1 << 20).unwrap();
        let counter = shadows.counter(u64::MAX);
        for count in 1..=1000 {
            shadows.add(counter);
            assert_eq!(shadows.count(counter), count);
        }
        shadows.subtract(counter, 700);
        assert_eq!(shadows.count(counter), 300);
        shadows.subtract(counter, 100);
        assert_eq!((shadows.count(counter), shadows.large.len()), (200, 0));
        assert_eq!(shadows.count(shadows.counter(0)), 0);
        shadows.clear();
        assert_eq!(shadows.count(counter), 0);
    }

    #[test]
    fn what_a_checkpoint_keeps_is_added_to_what_was_counted_since() {
        let mut shadows = ShadowCounts::new(16 << 20).unwrap();
        let counters = [0u64, 16383, 16384, 65535].map(|counter| shadows.counter(counter << 32));
        for (counter, count) in counters.into_iter().zip([3, 254, 255, 1000]) {
            (0..count).for_each(|_| shadows.add(counter));
        }
        let mut other = ShadowCounts::new(16 << 20).unwrap();
        counters.into_iter().for_each(|counter| other.add(counter));
        let mut len = 0;
        for part in 0..shadows.parts() {
            let mut bytes = alloc::vec::Vec::new();
            shadows.encode(part, &mut bytes);
            len += bytes.len() as u64;
            if !bytes.is_empty() {
                assert!(!other.decode(part, &bytes[..bytes.len() - 1]));
            }
            assert!(other.decode(part, &bytes));
        }
        assert_eq!(len, shadows.encoded_len());
        assert_eq!(counters.map(|counter| other.count(counter)), [4, 255, 256, 1001]);
    }
}
