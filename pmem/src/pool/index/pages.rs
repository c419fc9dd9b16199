//! The table's pages as a checkpoint keeps them: written whole, read one by one when they are needed.
//!
//! A page on the medium is the number of entries of each of its buckets, then the entries, chains and all, bucket by
//! bucket. Which overflow buckets there were is not kept.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::pool::dram::{NoRoom, with_room};

use super::{BucketRef, Index, LEAST_LEVEL, MOST_LEVEL, PAGE, PAGE_BYTES, SLOTS, new_page, place_of, short};

/// Bytes of the numbers of entries, two for each bucket.
const COUNTS: usize = 2 * PAGE;

/// A page that is still to be read before the index can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub u32);

/// What `pages` pages with `entries` entries together take, in bytes.
pub(crate) fn page_len(pages: u64, entries: u64) -> u64 {
    pages * COUNTS as u64 + entries * 8
}

impl Index {
    /// A table of so many buckets and entries, none of whose pages is there yet. `None` if no table has that many.
    pub(crate) fn unread(buckets: u64, len: u64) -> Option<Result<Index, NoRoom>> {
        let level = buckets.checked_ilog2()?;
        // An entry has 40 bits to name a place.
        if !(LEAST_LEVEL..=MOST_LEVEL).contains(&level) || len >= 1 << 40 {
            return None;
        }
        let split = (buckets - (1 << level)) as usize;
        let missing = buckets.div_ceil(PAGE as u64) as usize;
        Some(with_room(missing).map(|mut pages| {
            pages.resize_with(missing, Box::default);
            Index { pages, missing, level, split, len, ..Index::without_pages() }
        }))
    }

    /// Gives the pages back, so that all of them are missing.
    pub(crate) fn forget(&mut self) {
        self.pages.iter_mut().for_each(|page| *page = Box::default());
        self.missing = self.pages.len();
        (self.overflow, self.overflow_len, self.spare, self.spare_len) = (Vec::new(), 0, 0, 0);
    }

    /// What the table takes when all its pages are there, in bytes, about: how many overflow buckets there will be is
    /// not known before.
    pub(crate) fn bytes_when_read(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES / 8 * 9
    }

    /// How many buckets the table has.
    pub(crate) fn bucket_count(&self) -> u64 {
        self.buckets() as u64
    }

    /// How many pages the table has.
    pub(crate) fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Says which page is to be read before this bucket can be looked into.
    pub(super) fn present(&self, bucket: usize) -> Result<(), Missing> {
        if self.pages[bucket / PAGE].is_empty() { Err(Missing((bucket / PAGE) as u32)) } else { Ok(()) }
    }

    /// Says which page is to be read before an entry of this hash can be found, added or taken out.
    pub(crate) fn ready(&self, hash: u64) -> Result<(), Missing> {
        if self.missing == 0 { Ok(()) } else { self.present(self.home(short(hash))) }
    }

    /// Says which page is to be read before a scan goes on at this cursor.
    pub(crate) fn ready_to_scan(&self, cursor: u64) -> Result<(), Missing> {
        let bucket = (cursor & ((1 << self.level) - 1)) as usize;
        self.present(bucket)?;
        if bucket < self.split { self.present(bucket + (1 << self.level)) } else { Ok(()) }
    }

    /// Whether that page is still to be read.
    pub(crate) fn is_missing(&self, page: u32) -> bool {
        self.pages.get(page as usize).is_some_and(|page| page.is_empty())
    }

    /// Appends a page to `out`. `false` if a bucket has too many entries to be written.
    pub(crate) fn encode_page(&self, page: u32, out: &mut Vec<u8>) -> bool {
        let counts = out.len();
        out.resize(counts + COUNTS, 0);
        let first = page as usize * PAGE;
        for bucket in first..(first + PAGE).min(self.buckets()) {
            let begin = out.len();
            for (_, entry) in self.slots(BucketRef::Main(bucket)) {
                out.extend_from_slice(&entry.to_le_bytes());
            }
            let Ok(count) = u16::try_from((out.len() - begin) / 8) else { return false };
            out[counts + 2 * (bucket - first)..][..2].copy_from_slice(&count.to_le_bytes());
        }
        true
    }

    /// Fills a page that is missing with what [`Self::encode_page`] wrote. `Ok(false)`, and nothing filled, if the
    /// bytes are no page of this table on a medium of `limit` bytes; nothing filled without DRAM either.
    pub(crate) fn decode_page(&mut self, page: u32, bytes: &[u8], limit: u64) -> Result<bool, NoRoom> {
        let Some((counts, entries)) = bytes.split_at_checked(COUNTS) else { return Ok(false) };
        let (counts, _) = counts.as_chunks::<2>();
        let (entries, rest) = entries.as_chunks::<8>();
        let counts = || counts.iter().map(|count| usize::from(u16::from_le_bytes(*count)));
        let entries = || entries.iter().map(|entry| u64::from_le_bytes(*entry));
        let first = page as usize * PAGE;
        let beyond = self.buckets().saturating_sub(first).min(PAGE);
        let sound = rest.is_empty()
            && counts().sum::<usize>() == entries().len()
            && counts().skip(beyond).all(|count| count == 0)
            && entries().all(|entry| place_of(entry) != 0 && place_of(entry) < limit);
        if !sound || !self.is_missing(page) {
            return Ok(false);
        }
        let chained: usize = counts().map(|count| count.div_ceil(SLOTS).saturating_sub(1)).sum();
        let filled = new_page()?;
        self.provide(self.reserved + chained, u64::MAX)?;
        self.pages[page as usize] = filled;
        self.missing -= 1;
        let mut entries = entries();
        for (bucket, count) in (first..).zip(counts()) {
            for entry in entries.by_ref().take(count) {
                self.add(bucket, entry);
            }
        }
        Ok(true)
    }

    /// Whether the other index has every entry of this one; both have all their pages.
    pub(crate) fn is_within(&self, other: &Index) -> bool {
        (0..self.buckets()).all(|bucket| {
            self.slots(BucketRef::Main(bucket)).all(|(_, entry)| {
                let hash = super::tag_of(entry) << 8 | bucket as u32 & 0xFF;
                other.find_place(u64::from(hash), place_of(entry)).is_some()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::split_mix;
    use super::{BucketRef, Index, Missing, PAGE, SLOTS, short};

    fn table(entries: u64) -> (Index, Vec<u64>) {
        let (mut index, mut state) = (Index::new().unwrap(), 5);
        let hashes: Vec<u64> = (0..entries).map(|_| split_mix(&mut state)).collect();
        for (number, hash) in hashes.iter().enumerate() {
            index.reserve(1, u64::MAX).unwrap();
            index.insert(*hash, (number as u64 + 1) * 8);
        }
        (index, hashes)
    }

    #[test]
    fn a_table_is_read_page_by_page_and_then_grows_on() {
        let (written, hashes) = table(20_000);
        let mut index = Index::unread(written.bucket_count(), written.len()).unwrap().unwrap();
        let pages = written.page_count();
        assert_eq!((index.page_count(), index.missing), (pages, pages as usize));
        let mut read = 0;
        for (number, hash) in hashes.iter().enumerate() {
            let place = (number as u64 + 1) * 8;
            if let Err(Missing(page)) = index.ready(*hash) {
                let mut bytes = Vec::new();
                assert!(written.encode_page(page, &mut bytes));
                assert!(!index.decode_page(page, &bytes[..bytes.len() - 8], 1 << 40).unwrap());
                assert!(!index.decode_page(page, &bytes, 8).unwrap());
                assert!(index.decode_page(page, &bytes, 1 << 40).unwrap());
                assert!(!index.decode_page(page, &bytes, 1 << 40).unwrap(), "a page is read once");
                read += 1;
            }
            assert!(index.find_place(*hash, place).is_some());
            // Meanwhile others come.
            if index.ready(!*hash).is_ok() {
                index.reserve(1, u64::MAX).unwrap();
                index.insert(!*hash, place + (1 << 30));
            }
        }
        assert_eq!((read, index.missing), (pages, 0));
        assert!(written.is_within(&index) && !index.is_within(&written));
        let mut state = 77;
        for number in 0..index.len() {
            index.reserve(1, u64::MAX).unwrap();
            index.insert(split_mix(&mut state), number * 8 + (1 << 32));
        }
        let entries_per_bucket = index.len() as f64 / index.bucket_count() as f64;
        assert!(entries_per_bucket < 4.6, "the table does not catch up: {entries_per_bucket}");
    }

    #[test]
    fn pages_that_are_read_leave_alone_what_is_reserved() {
        const RESERVED: usize = 256;
        let (written, _) = table(20_000);
        let mut index = Index::unread(written.bucket_count(), written.len()).unwrap().unwrap();
        index.reserve(RESERVED, u64::MAX).unwrap();
        // With one page missing, no bucket is split.
        for page in 0..written.page_count() - 1 {
            let mut bytes = Vec::new();
            assert!(written.encode_page(page, &mut bytes) && index.decode_page(page, &bytes, 1 << 40).unwrap());
        }
        let mut inserted = 0;
        let mut state = 11;
        while inserted < RESERVED {
            let hash = split_mix(&mut state);
            let home = index.home(short(hash));
            // Each takes an overflow bucket.
            if index.ready(hash).is_ok() {
                let entries = index.slots(BucketRef::Main(home)).count();
                if entries > 0 && entries.is_multiple_of(SLOTS) {
                    inserted += 1;
                    index.insert(hash, (inserted as u64) << 32);
                    assert!(index.find_place(hash, (inserted as u64) << 32).is_some());
                }
            }
        }
    }

    #[test]
    fn a_table_that_was_not_read_is_cleared() {
        let (written, hashes) = table(20_000);
        let mut index = Index::unread(written.bucket_count(), written.len()).unwrap().unwrap();
        index.forget();
        index.reserve(1, u64::MAX).unwrap();
        index.clear(1, index.page_to_clear().unwrap());
        assert_eq!((index.len(), index.missing), (0, 0));
        assert!(index.find_place(hashes[0], 8).is_none());
        index.insert(hashes[0], 8);
        assert!(index.find_place(hashes[0], 8).is_some());
    }

    #[test]
    fn scans_and_draws_ask_for_the_pages_they_need() {
        let (written, _) = table(20_000);
        let mut index = Index::unread(written.bucket_count(), written.len()).unwrap().unwrap();
        let read = |index: &mut Index, Missing(page): Missing| {
            let mut bytes = Vec::new();
            assert!(written.encode_page(page, &mut bytes) && index.decode_page(page, &bytes, 1 << 40).unwrap());
        };
        while let Err(missing) = index.random(3) {
            read(&mut index, missing);
        }
        assert!(index.missing + 3 > index.page_count() as usize);
        let (mut cursor, mut visited) = (0, 0);
        loop {
            while let Err(missing) = index.ready_to_scan(cursor) {
                read(&mut index, missing);
            }
            cursor = index.scan(cursor, |_| visited += 1);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!((visited, index.missing), (written.len(), 0));
    }

    #[test]
    fn no_table_has_fewer_buckets_than_a_page_or_more_entries_than_places() {
        assert!(Index::unread(PAGE as u64 - 1, 0).is_none());
        assert!(Index::unread(1 << 33, 0).is_none());
        assert!(Index::unread(PAGE as u64, u64::MAX).is_none());
    }
}
