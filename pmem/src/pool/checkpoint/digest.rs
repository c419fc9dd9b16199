//! The digest of all segments in a checkpoint's root: it tells which segment is an old copy where that lies in place of
//! a part of the checkpoint itself, whose table would have told.
//!
//! A hash of each segment, all joined by *exclusive or*: so what one segment would have been can be tried without
//! looking at the others again.

use super::Root;
use crate::pool::log::Log;
use crate::pool::segment::State;

impl Log {
    /// The digest of all segments.
    pub(super) fn digest(&self) -> u64 {
        let segments = self.space.segments().iter().zip(0..);
        segments.fold(0, |sum, (segment, index)| sum ^ self.digest_of(index, segment.state, segment.generation))
    }

    fn digest_of(&self, index: u32, state: State, generation: u64) -> u64 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&index.to_le_bytes());
        bytes[4] = state as u8;
        bytes[8..].copy_from_slice(&generation.to_le_bytes());
        self.hash(&bytes)
    }

    /// The segment that held a part of the checkpoint, of this generation, when all others are as they were.
    pub(super) fn find_replaced(&self, root: &Root, generation: u64) -> Option<u32> {
        let changed = self.digest() ^ root.digest;
        let was_it = |index: u32| {
            let now = self.space.segment(index);
            let before = self.digest_of(index, State::Checkpoint, generation);
            changed == before ^ self.digest_of(index, now.state, now.generation)
        };
        (0..self.geometry().segments).find(|index| was_it(*index))
    }
}
