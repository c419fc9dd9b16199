//! Visiting entries that nobody asked for by name: step by step, or one at random.

use core::ops::RangeInclusive;

use super::{BucketRef, Index, LEAST_LEVEL, Missing, place_of, split_mix};

impl Index {
    /// Visits the entries that one step of a scan covers, and returns the next cursor, 0 at the end.
    ///
    /// The cursor counts with its bits reversed, so that what a smaller table's bucket held is found in the buckets
    /// that it split into, whenever it splits or merges: every entry that stays from a scan's begin to its end is
    /// visited.
    pub(crate) fn scan(&self, cursor: u64, mut visit: impl FnMut(u64)) -> u64 {
        let mask = (1u64 << self.level) - 1;
        let bucket = (cursor & mask) as usize;
        for (_, entry) in self.slots(BucketRef::Main(bucket)) {
            visit(place_of(entry));
        }
        if bucket < self.split {
            for (_, entry) in self.slots(BucketRef::Main(bucket + (1 << self.level))) {
                visit(place_of(entry));
            }
        }
        cursor_behind(&self.covered(cursor))
    }

    /// The hashes, with their bits reversed, whose entries one step of a scan covers. So counted, the steps of a scan
    /// follow one another without a gap, whatever the table's size is at each.
    pub(crate) fn covered(&self, cursor: u64) -> RangeInclusive<u64> {
        covered(self.level, cursor)
    }

    /// An entry's place, chosen by `seed`, about evenly over random seeds. `None` if there is no entry.
    pub(crate) fn random(&self, seed: u64) -> Result<Option<u64>, Missing> {
        if self.len == 0 {
            return Ok(None);
        }
        // Draw a bucket and a position in its chain, and draw again if there is no entry: a full bucket's entries are
        // not less likely than a sparse one's. Chains longer than `REACH` are too rare to matter.
        const REACH: u64 = 16;
        let mut state = seed;
        let mut bucket = 0;
        for _ in 0..256 {
            let draw = split_mix(&mut state);
            bucket = (draw / REACH % self.buckets() as u64) as usize;
            self.present(bucket)?;
            if let Some((_, entry)) = self.slots(BucketRef::Main(bucket)).nth((draw % REACH) as usize) {
                return Ok(Some(place_of(entry)));
            }
        }
        // A table that is nearly empty: the next entry from there.
        for bucket in (bucket..self.buckets()).chain(0..bucket) {
            self.present(bucket)?;
            if let Some((_, entry)) = self.slots(BucketRef::Main(bucket)).next() {
                return Ok(Some(place_of(entry)));
            }
        }
        Ok(None)
    }
}

fn covered(level: u32, cursor: u64) -> RangeInclusive<u64> {
    let rest = u64::MAX >> level;
    let first = cursor.reverse_bits() & !rest;
    first..=first | rest
}

/// As [`Index::covered`], for a table with nothing in it.
pub(crate) fn covered_in_smallest(cursor: u64) -> RangeInclusive<u64> {
    covered(LEAST_LEVEL, cursor)
}

/// The cursor of the step behind the one that covers these, 0 at the end.
pub(crate) fn cursor_behind(covered: &RangeInclusive<u64>) -> u64 {
    covered.end().wrapping_add(1).reverse_bits()
}
