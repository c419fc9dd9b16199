//! Frames in DRAM, encoded as they will lie on the medium: those of a turn, or of what is moved.

use alloc::vec::Vec;
use core::ops::Range;

use crate::pool::dram::{self, NoRoom};
use crate::pool::record::{self, FRAME_HEADER, LEAST_FRAME, LINK, OP_HEADER, OpHeader};

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    /// Its bytes in [`Frames::bytes`].
    bytes: Range<usize>,
    /// Its operations in [`Frames::ops`].
    ops: Range<usize>,
}

/// An operation in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagedOp {
    pub hash: u64,
    pub header: OpHeader,
    /// Where its header begins in [`Frames::bytes`].
    pub(super) at: usize,
    /// Where the operation lies on the medium now, if it is moved rather than new.
    pub from: Option<u64>,
    /// The staged operation on the same key before this one, as a position in [`Frames::ops`].
    pub(super) before: Option<usize>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    bytes: usize,
    ops: usize,
}

/// Frames one behind the other, and their operations.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The frames, one behind the other, and before the first one room for a link: where a frame begins a batch that
    /// has one, its header moves forward by as much. What lies there before a later frame is durable by then.
    pub(super) bytes: Vec<u8>,
    frames: Vec<Frame>,
    pub(super) ops: Vec<StagedOp>,
}

impl Frames {
    /// A buffer that takes so many bytes of operations, and `longest` bytes more, without more DRAM.
    pub(crate) fn with_room(bytes: usize, longest: usize) -> Result<Frames, NoRoom> {
        let ops = dram::with_room(bytes / OP_HEADER)?;
        let frames = dram::with_room(bytes / LEAST_FRAME)?;
        Ok(Frames { bytes: dram::with_room(LINK + bytes + longest)?, frames, ops })
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all frames, with the one that is begun, and the room for a link before them.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything, and returns DRAM that unusually much took.
    pub(crate) fn clear(&mut self) {
        const KEEP: usize = 1 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.frames.clear();
        self.ops.clear();
    }

    pub(crate) fn begin_frame(&mut self) -> Mark {
        if self.bytes.is_empty() {
            self.bytes.resize(LINK, 0);
        }
        let mark = Mark { bytes: self.bytes.len(), ops: self.ops.len() };
        self.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        mark
    }

    /// Bytes of the frame begun at `mark`, so far.
    pub(crate) fn begun_len(&self, mark: &Mark) -> usize {
        self.bytes.len() - mark.bytes
    }

    /// Adds an operation to the frame begun last.
    pub(crate) fn push(&mut self, hash: u64, from: Option<u64>, header: &OpHeader, key: &[u8], value: &[&[u8]]) {
        self.ops.push(StagedOp { hash, header: *header, at: self.bytes.len(), from, before: None });
        record::encode_op(&mut self.bytes, header, key, value);
    }

    /// Ends the frame begun at `mark`. Without operations it is as if it had not been begun.
    pub(crate) fn end_frame(&mut self, mark: Mark) {
        if self.ops.len() == mark.ops {
            self.bytes.truncate(mark.bytes);
            return;
        }
        self.frames.push(Frame { bytes: mark.bytes..self.bytes.len(), ops: mark.ops..self.ops.len() });
    }

    /// Takes the frame begun at `mark` out again.
    pub(crate) fn drop_frame(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.ops.truncate(mark.ops);
    }

    /// Bytes of each frame.
    pub(crate) fn frame_lens(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().map(|frame| frame.bytes.len())
    }

    /// Bytes of a frame.
    pub(crate) fn frame_len(&self, position: usize) -> usize {
        self.frames[position].bytes.len()
    }

    /// The first frame behind `first`, or behind the last one, that is not among those which fit into `room` bytes.
    pub(crate) fn first_unfit(&self, first: usize, room: usize) -> usize {
        let from = self.frames[first].bytes.start;
        first + self.frames[first..].iter().take_while(|frame| frame.bytes.end - from <= room).count()
    }

    /// Calls `seal` with the bytes of each of these frames, which are a batch, and where they begin in it. The first
    /// one has room for `link_len` bytes behind its header. Returns all its bytes.
    pub(crate) fn seal_batch(
        &mut self,
        batch: Range<usize>,
        link_len: usize,
        mut seal: impl FnMut(&mut [u8], u64),
    ) -> &[u8] {
        let (from, to) = (self.frames[batch.start].bytes.start - link_len, self.frames[batch.end - 1].bytes.end);
        let first = batch.start;
        for (position, frame) in (first..).zip(&self.frames[batch]) {
            let start = if position == first { from } else { frame.bytes.start };
            seal(&mut self.bytes[start..frame.bytes.end], (start - from) as u64);
        }
        &self.bytes[from..to]
    }

    /// The operations of these frames, which are a batch, and where they begin in it, without its link.
    pub(crate) fn ops_of_batch(&self, batch: Range<usize>) -> impl Iterator<Item = (&StagedOp, u64)> {
        let from = self.frames[batch.start].bytes.start;
        let ops = self.frames[batch.start].ops.start..self.frames[batch.end - 1].ops.end;
        self.ops[ops].iter().map(move |op| (op, (op.at - from) as u64))
    }

    /// Whether an operation is on this key, which has this hash.
    pub(super) fn is_on(&self, position: usize, hash: u64, key: &[u8]) -> bool {
        let op = &self.ops[position];
        op.hash == hash && self.key_of(op) == key
    }

    /// The key of an operation.
    pub(crate) fn key_of(&self, op: &StagedOp) -> &[u8] {
        &self.bytes[op.at + op.header.key_at()..][..op.header.key_len]
    }

    /// The value of an operation, or what is in its place.
    pub(crate) fn value_of(&self, op: &StagedOp) -> &[u8] {
        &self.bytes[op.at + op.header.value_at()..][..op.header.value_len]
    }

    /// The operations of the last frame, by their positions.
    pub(super) fn last_frame(&self) -> Range<usize> {
        self.frames.last().map_or(0..0, |frame| frame.ops.clone())
    }

    /// DRAM that the buffer takes, in bytes.
    pub(super) fn capacity(&self) -> usize {
        let lists = self.frames.capacity() * size_of::<Frame>() + self.ops.capacity() * size_of::<StagedOp>();
        self.bytes.capacity() + lists
    }
}
