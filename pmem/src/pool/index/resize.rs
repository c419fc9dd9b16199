//! How the table grows and shrinks, by a bucket at a time.

use super::{BucketRef, Index, PAGE, PAGE_BYTES, SLOTS, push_page, tag_of};
use crate::pool::dram::NoRoom;

impl Index {
    /// Empties a bucket's chain, and calls `each` with the index and every entry.
    fn drain(&mut self, bucket: usize, mut each: impl FnMut(&mut Index, u64)) {
        let mut at = BucketRef::Main(bucket);
        loop {
            let taken = core::mem::take(self.bucket_mut(at));
            if let BucketRef::Overflow(overflow) = at {
                self.set_spare(overflow);
            }
            for entry in taken[..SLOTS].iter().filter(|entry| **entry != 0) {
                each(self, *entry);
            }
            match taken[SLOTS] {
                0 => return,
                next => at = BucketRef::Overflow(next as usize - 1),
            }
        }
    }

    /// Splits a bucket. Its chain gives at least as many overflow buckets as the two chains take.
    pub(super) fn split_one(&mut self) -> Result<(), NoRoom> {
        let (from, to) = (self.split, self.buckets());
        if to.is_multiple_of(PAGE) {
            self.room = self.room.checked_sub(PAGE_BYTES).ok_or(NoRoom)?;
            push_page(&mut self.pages)?;
        }
        let bit = 1 << self.level;
        // The chain is emptied from its beginning, so what stays takes no place that is still to be looked at.
        self.drain(from, |index, entry| {
            let hash = tag_of(entry) << 8 | from as u32 & 0xFF;
            index.add(if hash & bit == 0 { from } else { to }, entry);
        });
        self.split += 1;
        if self.split == 1 << self.level {
            self.level += 1;
            self.split = 0;
        }
        Ok(())
    }

    /// Merges two buckets, for which one overflow bucket is enough.
    pub(super) fn merge_one(&mut self) -> Result<(), NoRoom> {
        self.room = self.provide(self.reserved + 1, self.room)?;
        if self.split == 0 {
            self.level -= 1;
            self.split = 1 << self.level;
        }
        self.split -= 1;
        let from = self.buckets();
        let to = self.split;
        self.drain(from, |index, entry| index.add(to, entry));
        if from.is_multiple_of(PAGE) {
            self.pages.pop();
            self.room = self.room.saturating_add(PAGE_BYTES);
        }
        Ok(())
    }
}
