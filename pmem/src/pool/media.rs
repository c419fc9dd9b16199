//! What is known of the medium's own errors: which bytes cannot be read, and how many errors were looked at.
//!
//! What follows from an error is `media_errors`'; the list on the medium is `bad_ranges`'.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;
use crate::medium::{Load, Medium, Store};
use crate::pool::bad_ranges::BadRanges;
use crate::pool::superblock::Superblock;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Media {
    bad: BadRanges,
    errors_seen: usize,
}

impl Media {
    /// What a pool remembers. `true`: neither copy of its list is readable, so what was in it is not known.
    pub(crate) fn read(load: &impl Load, superblock: &Superblock) -> Result<(Media, bool), Error> {
        let (bad, is_lost) = BadRanges::read(load, &superblock.uuid, superblock.geometry.len)?;
        Ok((Media { bad, errors_seen: 0 }, is_lost))
    }

    /// What the medium cannot read any more.
    pub(crate) fn bad(&self) -> &BadRanges {
        &self.bad
    }

    /// Asks the medium, if it has met errors since the last time, which of the pool's `len` bytes it cannot read.
    /// Returns the ranges that are news.
    pub(crate) fn poll(&mut self, medium: &impl Medium, len: u64) -> Vec<Range<u64>> {
        let errors = medium.media_errors();
        if errors == self.errors_seen {
            return Vec::new();
        }
        self.errors_seen = errors;
        // What lies behind the pool's end is not the pool's.
        let ours = medium.bad_ranges().into_iter().filter(|range| range.start < len);
        ours.map(|range| range.start..range.end.min(len)).filter(|range| self.bad.add(range)).collect()
    }

    /// Counts a range as one that cannot be read. Says whether a byte of it is news.
    pub(crate) fn give_up(&mut self, range: &Range<u64>) -> bool {
        self.bad.add(range)
    }

    /// Makes the list durable.
    pub(crate) fn write(&mut self, store: &impl Store, superblock: &Superblock) -> Result<(), Error> {
        self.bad.write(store, &superblock.uuid, superblock.geometry.len)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::Media;
    use crate::medium::{Load, Medium};
    use crate::sim::Memory;

    #[test]
    fn an_error_is_news_once_and_only_within_the_pool() {
        let memory = Memory::new(64 << 10);
        let mut media = Media::default();
        memory.poison(1024..1088, false);
        memory.poison((48 << 10) - 64..(48 << 10) + 64, false);
        memory.poison(56 << 10..(56 << 10) + 64, false);
        assert!(media.poll(&memory, 48 << 10).is_empty(), "nothing was read yet");
        for at in [1024, (48 << 10) - 64, 56 << 10] {
            memory.read(|load| load.load(at, &mut [0; 128]).unwrap_err()).unwrap();
        }
        let expected = vec![1024..1088, (48 << 10) - 64..48 << 10];
        assert_eq!(media.poll(&memory, 48 << 10), expected);
        assert_eq!(media.bad().to_vec(), expected);
        assert!(media.poll(&memory, 48 << 10).is_empty());
        assert!(!media.give_up(&(1030..1040)) && media.give_up(&(1080..1100)));
    }
}
