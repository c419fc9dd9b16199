//! Physical frames of 4 KiB: which are in use.

use core::ops::Range;

use super::bitmap::Bitmap;
use crate::addr::{AddrRange, PhysAddr};
use crate::arch::paging::PAGE;

/// The frames of all RAM. What is in use, or no RAM at all, nobody is given.
#[derive(Debug)]
pub struct Frames<'a>(Bitmap<'a>);

impl<'a> Frames<'a> {
    /// How many words describe the frames below `end`.
    pub const fn words(end: PhysAddr) -> usize {
        end.as_u64().div_ceil(PAGE * 64) as usize
    }

    /// As many frames as the words can describe, from address 0 on, all in use.
    pub fn new(words: &'a mut [u64]) -> Self {
        Self(Bitmap::new(words))
    }

    /// How many bytes are in no use.
    pub fn free_bytes(&self) -> u64 {
        self.0.free() * PAGE
    }

    /// Frees the frames of this range, whole pages; those already free are left alone.
    pub fn release(&mut self, range: &Range<PhysAddr>) {
        self.0.release(range.start.as_u64() / PAGE, range.length() / PAGE);
    }

    /// Takes every frame of which a byte is in this range out of use.
    pub fn reserve(&mut self, range: &Range<PhysAddr>) {
        let frames = range.widened_to(PAGE);
        self.0.reserve(frames.start.as_u64() / PAGE, frames.length() / PAGE);
    }

    /// Takes `count` frames that follow each other, the lowest that do; where they begin.
    pub fn allocate(&mut self, count: u64) -> Option<PhysAddr> {
        self.0.allocate(count).map(|number| PhysAddr::new(number * PAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_is_whatever_a_range_touches() {
        let mut words = [0; 1];
        let mut frames = Frames::new(&mut words);
        let at = |pages: u64| PhysAddr::new(pages * PAGE);
        frames.release(&(at(1)..at(5)));
        frames.reserve(&(at(2) + 100..at(3) + 1));
        assert_eq!(frames.free_bytes(), 2 * PAGE);
        assert_eq!([frames.allocate(1), frames.allocate(1), frames.allocate(1)], [Some(at(1)), Some(at(4)), None]);
        frames.release(&(at(1)..at(2)));
        assert_eq!(frames.allocate(1), Some(at(1)));
    }

    #[test]
    fn words_are_enough_for_the_last_frame() {
        let ends = [0, 1, 64 * PAGE, 64 * PAGE + 1].map(PhysAddr::new);
        assert_eq!(ends.map(Frames::words), [0, 1, 1, 2]);
    }
}
