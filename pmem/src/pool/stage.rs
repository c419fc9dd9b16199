//! The staging buffer: what a turn wrote and has not yet committed, encoded as it will lie on the medium.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};

use hashbrown::HashTable;

use crate::pool::dram::{self, NoRoom};
use crate::pool::record::{self, FRAME_HEADER, Kind, LEAST_FRAME, OP_HEADER, OpHeader};

/// A frame in the staging buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagedFrame {
    /// Its bytes in [`Stage::bytes`].
    pub bytes: Range<usize>,
    /// Its operations in [`Stage::ops`].
    pub ops: Range<usize>,
}

/// An operation in the staging buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagedOp {
    pub hash: u64,
    /// Where its header begins in [`Stage::bytes`].
    pub at: usize,
    /// Where the operation lies on the medium now, if it is moved rather than new.
    pub from: Option<u64>,
    /// The staged operation on the same key before this one, as a position in [`Stage::ops`].
    before: Option<usize>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    pub bytes: Vec<u8>,
    pub frames: Vec<StagedFrame>,
    pub ops: Vec<StagedOp>,
    /// The newest staged operation of each key that has one, as a position in `ops`.
    latest: HashTable<usize>,
    /// The same for chunks, whose keys are others.
    latest_chunks: HashTable<usize>,
    /// How many of `ops` are counted in `growth`.
    counted: usize,
    /// How many keys the counted operations add.
    growth: i64,
    /// How many of `ops` are in `order`.
    ordered: usize,
    /// The first operation on each key, in the order of a scan: by the hash with its bits reversed, and the position.
    order: BTreeSet<(u64, usize)>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    bytes: usize,
    ops: usize,
}

impl Stage {
    /// A buffer that takes so many bytes of operations, and `longest` bytes more, without more DRAM.
    pub(crate) fn with_room(bytes: usize, longest: usize) -> Result<Stage, NoRoom> {
        let ops = dram::with_room(bytes / OP_HEADER)?;
        let frames = dram::with_room(bytes / LEAST_FRAME)?;
        Ok(Stage { bytes: dram::with_room(bytes + longest)?, frames, ops, ..Stage::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Forgets everything, and returns DRAM that an unusually large turn took.
    pub(crate) fn clear(&mut self) {
        const KEEP: usize = 1 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.frames.clear();
        self.ops.clear();
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
        let mark = Mark { bytes: self.bytes.len(), ops: self.ops.len() };
        self.bytes.resize(mark.bytes + FRAME_HEADER, 0);
        mark
    }

    /// Bytes of the frame begun at `mark`, so far.
    pub(crate) fn frame_len(&self, mark: &Mark) -> usize {
        self.bytes.len() - mark.bytes
    }

    /// Adds an operation to the frame begun last.
    pub(crate) fn push(&mut self, hash: u64, from: Option<u64>, header: &OpHeader, key: &[u8], value: &[&[u8]]) {
        self.ops.push(StagedOp { hash, at: self.bytes.len(), from, before: None });
        record::encode_op(&mut self.bytes, header, key, value);
    }

    /// Ends the frame begun at `mark`. Without operations it is as if it had not been begun.
    pub(crate) fn end_frame(&mut self, mark: Mark) {
        if self.ops.len() == mark.ops {
            self.bytes.truncate(mark.bytes);
            return;
        }
        self.frames.push(StagedFrame { bytes: mark.bytes..self.bytes.len(), ops: mark.ops..self.ops.len() });
    }

    /// Takes the frame begun at `mark` out again.
    pub(crate) fn drop_frame(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.ops.truncate(mark.ops);
    }

    /// Makes the operations of the last frame what later reads of the turn see.
    pub(crate) fn publish_last_frame(&mut self) {
        let Some(frame) = self.frames.last() else { return };
        for op in frame.ops.clone() {
            let StagedOp { hash, at, .. } = self.ops[op];
            let is_chunk = matches!(self.op(op), Some((Kind::Chunk, _)));
            let key = key_of(&self.bytes, at);
            let latest = if is_chunk { &mut self.latest_chunks } else { &mut self.latest };
            let known = latest.find_mut(hash, |known| {
                self.ops[*known].hash == hash && key_of(&self.bytes, self.ops[*known].at) == key
            });
            match known {
                Some(known) => self.ops[op].before = Some(core::mem::replace(known, op)),
                None => {
                    latest.insert_unique(hash, op, |known| self.ops[*known].hash);
                }
            }
        }
    }

    /// The kind and the key of an operation.
    pub(crate) fn op(&self, position: usize) -> Option<(Kind, &[u8])> {
        let bytes = &self.bytes[self.ops.get(position)?.at..];
        let header = OpHeader::decode(bytes)?;
        Some((header.kind, &bytes[header.key_at()..header.value_at()]))
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
        if latest.is_empty() {
            return None;
        }
        let matches = |known: &usize| self.ops[*known].hash == hash && key_of(&self.bytes, self.ops[*known].at) == key;
        let op = self.ops[*latest.find(hash, matches)?];
        let bytes = &self.bytes[op.at..];
        let header = OpHeader::decode(bytes)?;
        Some((header, &bytes[header.value_at()..header.value_at() + header.value_len]))
    }

    /// Whether no later staged operation is on the same key.
    pub(crate) fn is_latest(&self, position: usize) -> bool {
        self.latest.find(self.ops[position].hash, |known| *known == position).is_some()
    }

    /// Whether the staged operation on the same key before this one set its value. `None` if there is none.
    pub(crate) fn before(&self, position: usize) -> Option<bool> {
        let (kind, _) = self.op(self.ops[position].before?)?;
        Some(matches!(kind, Kind::Put | Kind::PutLarge))
    }

    /// The next operation on a key that is not yet counted: its position and the key's hash.
    pub(crate) fn next_uncounted(&mut self) -> Option<(usize, u64)> {
        while let Some(op) = self.ops.get(self.counted) {
            if matches!(self.op(self.counted), Some((Kind::Put | Kind::PutLarge | Kind::Remove, _))) {
                return Some((self.counted, op.hash));
            }
            self.counted += 1;
        }
        None
    }

    /// Counts what the next uncounted operation does to the number of keys.
    pub(crate) fn count(&mut self, position: usize, was_there: bool) {
        let is_there = !matches!(self.op(position), Some((Kind::Remove, _)));
        self.growth += i64::from(is_there) - i64::from(was_there);
        self.counted = position + 1;
    }

    /// How many keys the counted operations add.
    pub(crate) fn growth(&self) -> i64 {
        self.growth
    }

    /// Forgets what was counted: the index holds something else now.
    pub(crate) fn recount(&mut self) {
        (self.counted, self.growth) = (0, 0);
    }

    /// Brings the order of the staged keys up to date.
    pub(crate) fn order_keys(&mut self) {
        for position in self.ordered..self.ops.len() {
            let StagedOp { hash, before, .. } = self.ops[position];
            if before.is_none() && !matches!(self.op(position), Some((Kind::Chunk, _)) | None) {
                self.order.insert((hash.reverse_bits(), position));
            }
        }
        self.ordered = self.ops.len();
    }

    /// The newest staged operation of each ordered key whose hash, with its bits reversed, is in `range`: its header,
    /// the key, and the value.
    pub(crate) fn keys_in(&self, range: RangeInclusive<u64>) -> impl Iterator<Item = (OpHeader, &[u8], &[u8])> {
        self.order.range((*range.start(), 0)..=(*range.end(), usize::MAX)).filter_map(|(_, position)| {
            let (_, key) = self.op(*position)?;
            let (header, value) = self.latest(self.ops[*position].hash, key)?;
            Some((header, key, value))
        })
    }

    /// DRAM that the buffer takes, in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        let lists = self.frames.capacity() * size_of::<StagedFrame>() + self.ops.capacity() * size_of::<StagedOp>();
        let order = self.order.len() * 2 * size_of::<(u64, usize)>();
        let tables = (self.latest.capacity() + self.latest_chunks.capacity()) * size_of::<usize>();
        (self.bytes.capacity() + lists + order + tables) as u64
    }
}

/// The key of the operation that begins at `at`.
fn key_of(bytes: &[u8], at: usize) -> &[u8] {
    match OpHeader::decode(&bytes[at..]) {
        Some(header) => &bytes[at + header.key_at()..at + header.value_at()],
        None => &[],
    }
}
