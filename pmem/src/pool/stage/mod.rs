//! The staging buffer: what a turn wrote and has not yet committed, encoded as it will lie on the medium, and what that
//! adds to the accounts. What is counted is there: when nothing is staged, nothing is counted.

mod frames;

pub(crate) use frames::{Frames, Mark, StagedOp};

use alloc::collections::BTreeSet;
use core::ops::RangeInclusive;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::error::Error;
use crate::pool::catalog::Room;
use crate::pool::record::{Kind, OpHeader};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    frames: Frames,
    /// A clearing is staged before all frames: operations up to this sequence number are to be void.
    clearing: Option<u64>,
    /// Why something that the turn had staged is lost: the turn must fail, whatever its closure made of it.
    failure: Option<Error>,
    /// How many bytes the operations add to the accounts of the space at most.
    byte_growth: u64,
    /// How many entries the operations add to the indices at most. There is room for them.
    room: Room,
    /// The newest staged operation of each key that has one, as a position.
    latest: HashTable<usize>,
    /// The same for chunks, whose keys are others.
    latest_chunks: HashTable<usize>,
    /// How many of the operations are counted in `key_growth`.
    counted: usize,
    /// How many keys the counted operations add.
    key_growth: i64,
    /// How many of the operations are in `order`.
    ordered: usize,
    /// The first operation on each key, in the order of a scan: by the hash with its bits reversed, and the position.
    order: BTreeSet<(u64, usize)>,
}

impl Stage {
    /// Whether no frame is staged. A clearing may be.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.len() == 0
    }

    /// Bytes of what is staged.
    pub(crate) fn byte_len(&self) -> usize {
        self.frames.byte_len()
    }

    /// How many operations are staged.
    pub(crate) fn op_count(&self) -> usize {
        self.frames.ops.len()
    }

    /// The hash of an operation's key.
    pub(crate) fn hash_of(&self, position: usize) -> u64 {
        self.frames.ops[position].hash
    }

    /// Bytes of each frame.
    pub(crate) fn frame_lens(&self) -> impl Iterator<Item = usize> {
        self.frames.frame_lens()
    }

    /// How many bytes the operations add to the accounts of the space at most.
    pub(crate) fn byte_growth(&self) -> u64 {
        self.byte_growth
    }

    /// How many entries the operations add to the indices at most.
    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Whether a clearing is staged, before all frames.
    pub(crate) fn is_clearing(&self) -> bool {
        self.clearing.is_some()
    }

    /// Stages that operations up to a sequence number are to be void, and nothing else.
    pub(crate) fn stage_clearing(&mut self, through: u64) {
        self.discard();
        self.clearing = Some(through);
    }

    /// Takes the clearing out: what is staged besides is still to come.
    pub(crate) fn take_clearing(&mut self) -> Option<u64> {
        self.clearing.take()
    }

    /// Lets the turn fail, because something that it had staged is lost. The first reason counts.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
    }

    /// Takes out why the turn must fail.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Takes the frames out, to write them; until [`Self::give_back`] nothing finds them.
    pub(crate) fn take_frames(&mut self) -> Frames {
        self.forget_positions();
        core::mem::take(&mut self.frames)
    }

    /// Gives the frames' buffer back, now that they are written, or lost. Nothing is staged then.
    pub(crate) fn give_back(&mut self, frames: Frames) {
        self.frames = frames;
        self.clear_frames();
    }

    /// Forgets everything that is staged.
    pub(crate) fn discard(&mut self) {
        self.clearing = None;
        self.clear_frames();
    }

    fn clear_frames(&mut self) {
        self.frames.clear();
        self.forget_positions();
        (self.byte_growth, self.room) = (0, Room::default());
    }

    /// Forgets where which operation is, and returns DRAM that an unusually large turn took.
    fn forget_positions(&mut self) {
        self.recount();
        self.ordered = 0;
        self.order.clear();
        for latest in [&mut self.latest, &mut self.latest_chunks] {
            if !latest.is_empty() {
                latest.clear();
                latest.shrink_to(1 << 12, |_| 0);
            }
        }
    }

    pub(crate) fn begin_frame(&mut self) -> Mark {
        self.frames.begin_frame()
    }

    /// Bytes of the frame begun at `mark`, so far.
    pub(crate) fn begun_len(&self, mark: &Mark) -> usize {
        self.frames.begun_len(mark)
    }

    /// Adds a new operation to the frame begun last.
    pub(crate) fn push(&mut self, hash: u64, header: &OpHeader, key: &[u8], value: &[u8]) {
        self.frames.push(hash, None, header, key, &[value]);
    }

    /// Ends the frame begun at `mark`. Without operations it is as if it had not been begun.
    pub(crate) fn end_frame(&mut self, mark: Mark) {
        self.frames.end_frame(mark);
    }

    /// Takes the frame begun at `mark` out again.
    pub(crate) fn drop_frame(&mut self, mark: Mark) {
        self.frames.drop_frame(mark);
    }

    /// Counts what operations add that have been staged.
    pub(crate) fn count_growth(&mut self, bytes: u64, room: Room) {
        self.byte_growth += bytes;
        self.room.keys += room.keys;
        self.room.chunks += room.chunks;
        debug_assert!(self.room.keys + self.room.chunks <= self.op_count(), "{:?}", self.room);
    }

    /// Makes the operations of the last frame what later reads of the turn see.
    pub(crate) fn publish_last_frame(&mut self) {
        for position in self.frames.last_frame() {
            let Stage { frames, latest, latest_chunks, .. } = self;
            let op = &frames.ops[position];
            let latest = if op.header.kind == Kind::Chunk { latest_chunks } else { latest };
            let is_same = |known: &usize| frames.is_on(*known, op.hash, frames.key_of(op));
            let before = match latest.entry(op.hash, is_same, |known| frames.ops[*known].hash) {
                Entry::Occupied(mut known) => Some(core::mem::replace(known.get_mut(), position)),
                Entry::Vacant(free) => {
                    free.insert(position);
                    None
                }
            };
            frames.ops[position].before = before;
        }
    }

    /// The kind and the key of an operation.
    pub(crate) fn op(&self, position: usize) -> Option<(Kind, &[u8])> {
        let op = self.frames.ops.get(position)?;
        Some((op.header.kind, self.frames.key_of(op)))
    }

    /// The newest staged operation on a key: its header and its value.
    pub(crate) fn latest(&self, hash: u64, key: &[u8]) -> Option<(OpHeader, &[u8])> {
        self.newest(&self.latest, hash, key)
    }

    /// The newest staged content of a chunk.
    pub(crate) fn latest_chunk(&self, hash: u64, key: &[u8]) -> Option<(OpHeader, &[u8])> {
        self.newest(&self.latest_chunks, hash, key)
    }

    fn newest(&self, latest: &HashTable<usize>, hash: u64, key: &[u8]) -> Option<(OpHeader, &[u8])> {
        // In a turn that only reads, nothing is looked for.
        if latest.is_empty() {
            return None;
        }
        let position = latest.find(hash, |known| self.frames.is_on(*known, hash, key))?;
        let op = &self.frames.ops[*position];
        Some((op.header, self.frames.value_of(op)))
    }

    /// Whether no later staged operation is on the same key.
    pub(crate) fn is_latest(&self, position: usize) -> bool {
        self.latest.find(self.frames.ops[position].hash, |known| *known == position).is_some()
    }

    /// Whether the staged operation on the same key before this one set its value. `None` if there is none.
    pub(crate) fn before(&self, position: usize) -> Option<bool> {
        let (kind, _) = self.op(self.frames.ops[position].before?)?;
        Some(matches!(kind, Kind::Put | Kind::PutLarge))
    }

    /// The next operation on a key that is not yet counted: its position and the key's hash.
    pub(crate) fn next_uncounted(&mut self) -> Option<(usize, u64)> {
        while let Some(op) = self.frames.ops.get(self.counted) {
            if matches!(self.op(self.counted), Some((Kind::Put | Kind::PutLarge | Kind::Remove, _))) {
                return Some((self.counted, op.hash));
            }
            self.counted += 1;
        }
        None
    }

    /// Counts what the next uncounted operation does to the number of keys.
    pub(crate) fn count_key(&mut self, position: usize, was_there: bool) {
        let is_there = !matches!(self.op(position), Some((Kind::Remove, _)));
        self.key_growth += i64::from(is_there) - i64::from(was_there);
        self.counted = position + 1;
    }

    /// How many keys the counted operations add.
    pub(crate) fn key_growth(&self) -> i64 {
        self.key_growth
    }

    /// Forgets what was counted: the index holds something else now.
    pub(crate) fn recount(&mut self) {
        (self.counted, self.key_growth) = (0, 0);
    }

    /// Brings the order of the staged keys up to date.
    pub(crate) fn order_keys(&mut self) {
        for position in self.ordered..self.frames.ops.len() {
            let StagedOp { hash, before, .. } = self.frames.ops[position];
            if before.is_none() && !matches!(self.op(position), Some((Kind::Chunk, _)) | None) {
                self.order.insert((hash.reverse_bits(), position));
            }
        }
        self.ordered = self.frames.ops.len();
    }

    /// The newest staged operation of each ordered key whose hash, with its bits reversed, is in `range`: its header,
    /// the key, and the value.
    pub(crate) fn keys_in(&self, range: RangeInclusive<u64>) -> impl Iterator<Item = (OpHeader, &[u8], &[u8])> {
        self.order.range((*range.start(), 0)..=(*range.end(), usize::MAX)).filter_map(|(_, position)| {
            let (_, key) = self.op(*position)?;
            let (header, value) = self.latest(self.frames.ops[*position].hash, key)?;
            Some((header, key, value))
        })
    }

    /// DRAM that the buffer takes, in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        let order = self.order.len() * 2 * size_of::<(u64, usize)>();
        let tables = (self.latest.capacity() + self.latest_chunks.capacity()) * size_of::<usize>();
        (self.frames.capacity() + order + tables) as u64
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Stage;
    use crate::pool::catalog::Room;
    use crate::pool::record::{Kind, OpHeader};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_counted_is_staged(steps in proptest::collection::vec((0..8u8, 0..6u8, 0..90usize), 0..200)) {
            let mut stage = Stage::default();
            let mut latest: BTreeMap<u8, Option<usize>> = BTreeMap::new();
            let (mut puts, mut growth) = (0, 0);
            for (step, key, len) in steps {
                let kind = if step == 0 { Kind::Remove } else { Kind::Put };
                let value = &[key; 90][..if kind == Kind::Remove { 0 } else { len }];
                let header = OpHeader::new(kind, 1, value.len());
                match step {
                    0..5 => {
                        let frame = stage.begin_frame();
                        stage.push(key.into(), &header, &[key], value);
                        stage.end_frame(frame);
                        stage.publish_last_frame();
                        latest.insert(key, (kind == Kind::Put).then_some(len));
                        let keys = usize::from(kind == Kind::Put);
                        stage.count_growth(header.cost(), Room { keys, chunks: 0 });
                        (puts, growth) = (puts + keys, growth + header.cost());
                    }
                    // One that is given up leaves nothing.
                    5 => {
                        let frame = stage.begin_frame();
                        stage.push(key.into(), &header, &[key], value);
                        stage.drop_frame(frame);
                    }
                    _ => {
                        match (step, len % 2) {
                            (6, _) => {
                                let frames = stage.take_frames();
                                prop_assert!(stage.is_empty() && stage.latest(key.into(), &[key]).is_none());
                                stage.give_back(frames);
                            }
                            (_, 0) => stage.discard(),
                            _ => stage.stage_clearing(7),
                        }
                        prop_assert_eq!((stage.byte_len(), stage.op_count()), (0, 0));
                        latest.clear();
                        (puts, growth) = (0, 0);
                    }
                }
                prop_assert_eq!((stage.room(), stage.byte_growth()), (Room { keys: puts, chunks: 0 }, growth));
                prop_assert_eq!(stage.is_empty(), stage.op_count() == 0);
                for key in 0..6 {
                    let found = stage.latest(key.into(), &[key]);
                    let found = found.map(|(header, value)| (header.kind == Kind::Put).then_some(value.len()));
                    prop_assert_eq!(found, latest.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn the_first_reason_why_a_turn_must_fail_counts_and_outlives_what_was_staged() {
        let mut stage = Stage::default();
        stage.fail(&crate::Error::Full);
        stage.fail(&crate::Error::ReadOnly);
        stage.discard();
        assert!(matches!(stage.take_failure(), Some(crate::Error::Full)));
        assert!(stage.take_failure().is_none());
    }
}
