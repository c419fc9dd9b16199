//! Overflow buckets: provided before they are needed, kept for reuse, given back when no chain needs any.

use super::{BucketRef, Index, PAGE, PAGE_BYTES, SLOTS, push_page};
use crate::pool::dram::NoRoom;

impl Index {
    /// Makes sure that so many overflow buckets are free. Returns how much of `room` is left.
    pub(super) fn provide(&mut self, buckets: usize, mut room: u64) -> Result<u64, NoRoom> {
        while self.free_overflow() < buckets {
            room = room.checked_sub(PAGE_BYTES).ok_or(NoRoom)?;
            push_page(&mut self.overflow)?;
        }
        Ok(room)
    }

    /// How many overflow buckets no chain uses.
    pub(super) fn free_overflow(&self) -> usize {
        self.overflow.len() * PAGE - self.overflow_len + self.spare_len
    }

    /// Gives the overflow area's DRAM back when no chain needs any of it, but for a page and for what is reserved.
    pub(super) fn give_back_overflow(&mut self) {
        let pages = self.reserved.div_ceil(PAGE).max(1);
        if self.spare_len < self.overflow_len || self.overflow.len() <= pages {
            return;
        }
        self.room = self.room.saturating_add((self.overflow.len() - pages) as u64 * PAGE_BYTES);
        self.overflow.truncate(pages);
        (self.overflow_len, self.spare, self.spare_len) = (0, 0, 0);
    }

    /// An overflow bucket that no chain uses. There is one: it was provided. If it was not, what is durable has to
    /// enter the table all the same, and takes DRAM where that cannot fail.
    pub(super) fn take_overflow(&mut self) -> usize {
        if let Some(bucket) = (self.spare as usize).checked_sub(1) {
            self.spare = self.bucket(BucketRef::Overflow(bucket))[SLOTS];
            self.spare_len -= 1;
            return bucket;
        }
        if self.free_overflow() == 0 {
            self.overflow.push(alloc::vec![[0; SLOTS + 1]; PAGE].into_boxed_slice());
        }
        self.overflow_len += 1;
        self.overflow_len - 1
    }

    /// Notes that no chain uses an overflow bucket any more.
    pub(super) fn set_spare(&mut self, bucket: usize) {
        let next = self.spare;
        *self.bucket_mut(BucketRef::Overflow(bucket)) = [0, 0, 0, 0, 0, 0, 0, next];
        self.spare = bucket as u64 + 1;
        self.spare_len += 1;
    }
}
