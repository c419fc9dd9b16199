//! Judging a checkpoint: whether it is of the log's very end, and whole as far as it is read at once.
//!
//! Read at once is what does not grow with the number of keys: the root, the *close* that it names, the sums and the
//! table of segments. All else follows when it is needed.

use alloc::vec;
use alloc::vec::Vec;

use super::{Held, Layout, MAGIC, ROOT, Root, Row, SUMS, TABLE_ENTRY, TABLE_SEGMENTS, Unverified};
use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::bad::BadRanges;
use crate::pool::index::Index;
use crate::pool::log::{Head, Log};
use crate::pool::record::{FrameHeader, Kind, LEAST_FRAME, Ops, SEQUENCE_LIMIT, Salt};
use crate::pool::segment::{HEADER, Header, State};

/// What is in the root's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    None,
    /// Something that does not count, and why.
    Refused(&'static str),
    /// The root of a checkpoint that counts, and was taken over.
    Taken {
        /// Bytes of the checkpoint.
        bytes: u64,
    },
}

impl Log {
    /// Takes over what a checkpoint says, if there is one that counts. `used` are the segments that hold records,
    /// oldest first, and `doubtful` says that something about the headers is not as a clean shutdown leaves it.
    pub(crate) fn take_checkpoint(
        &mut self,
        load: &impl Load,
        used: &[Header],
        doubtful: bool,
    ) -> Result<Verdict, Error> {
        let mut line = [0; LINE as usize];
        // What cannot be read is no root, and no mark.
        BadRanges::default().load_readable(load, ROOT, &mut line)?;
        let Some(root) = Root::decode(&line, &self.superblock.uuid) else {
            return Ok(match line {
                line if line.iter().all(|byte| *byte == 0) => Verdict::None,
                // Likely a power cut in writing it; so the shutdown was not finished.
                line if line[..8] == MAGIC => Verdict::Refused("its root is not whole"),
                _ => Verdict::Refused("what stands in its root's place is none"),
            });
        };
        if doubtful {
            return Ok(Verdict::Refused("segments are damaged, or were changed since"));
        }
        let Some(row) = self.row_of(&root, load)? else {
            return Ok(Verdict::Refused("segments that hold it are missing"));
        };
        if !self.is_newest_close(load, &root, used)? {
            return Ok(Verdict::Refused("the pool was opened since it was written"));
        }
        let Some((held, log)) = self.read_sums(load, &root, row)? else {
            return Ok(Verdict::Refused("its first blocks are damaged"));
        };
        *self = log;
        self.checkpoint = Some(held);
        self.unverified = self.head.map(|end| Unverified::new(self, end));
        Ok(Verdict::Taken { bytes: root.end() + LINE })
    }

    /// The segments that hold the checkpoint. `None` if they are not all there.
    fn row_of(&self, root: &Root, load: &impl Load) -> Result<Option<Row>, Error> {
        let held = self.segments.iter().zip(0..).filter(|(segment, _)| segment.state == State::Checkpoint);
        let mut held: Vec<(u64, u32)> = held.map(|(segment, index)| (segment.generation, index)).collect();
        held.sort_unstable();
        let complete =
            held.iter().map(|(generation, _)| *generation).eq((root.generation..).take(root.segments as usize));
        let long_enough = u64::from(root.segments) * Row::per_segment(self.geometry()) >= root.end();
        let in_bounds = root.blocks > 0 && root.directory < load.size();
        let row = Row { segments: held.into_iter().map(|(_, segment)| segment).collect() };
        Ok((complete && long_enough && in_bounds).then_some(row))
    }

    /// Whether the last thing that was written to the log is the *close* that the root names.
    fn is_newest_close(&self, load: &impl Load, root: &Root, used: &[Header]) -> Result<bool, Error> {
        let Some(newest) = used.last().filter(|newest| newest.index == root.segment) else { return Ok(false) };
        let line = LINE as u32;
        if root.at < HEADER || !root.at.is_multiple_of(line) || root.at > self.batch_limit() - line {
            return Ok(false);
        }
        let close = self.mark_at(load, newest, root.at)?;
        let is_close = |kind, batch| kind == Kind::Close && batch == root.batch;
        // Every opening begins with a mark right behind.
        let next = self.mark_at(load, newest, root.at + line)?;
        let is_last = next.is_none_or(|(_, batch)| batch <= root.batch);
        Ok(close.is_some_and(|(kind, batch)| is_close(kind, batch)) && is_last)
    }

    /// The mark that is at a place of a segment, with its batch.
    fn mark_at(&self, load: &impl Load, segment: &Header, at: u32) -> Result<Option<(Kind, u64)>, Error> {
        let place = self.geometry().start_of(segment.index) + u64::from(at);
        let mut line = [0; LINE as usize];
        BadRanges::default().load_readable(load, place, &mut line)?;
        let Some(header) = line.first_chunk().map(FrameHeader::decode) else { return Ok(None) };
        let Some(frame) = line.get(..header.len as usize).filter(|frame| frame.len() >= LEAST_FRAME) else {
            return Ok(None);
        };
        let sound = Salt::new(&self.superblock.uuid, segment.generation).checksum(place, frame) == header.checksum;
        Ok(Ops::of(frame).next().filter(|_| sound).map(|op| (op.header.kind, header.batch)))
    }

    /// The log's state as the first blocks tell it. `None` if they are damaged, or do not fit the segments' headers.
    fn read_sums(&self, load: &impl Load, root: &Root, row: Row) -> Result<Option<(Held, Log)>, Error> {
        let mut held = Held::new(&self.superblock.uuid, root, row);
        let Some(sums) = held.read_block(load, self.geometry(), 0)? else { return Ok(None) };
        let Ok(sums) = <[u8; SUMS]>::try_from(sums) else { return Ok(None) };
        let (sums, _) = sums.as_chunks::<8>();
        let sum = |at: usize| u64::from_le_bytes(sums[at]);
        let (Some(keys), Some(chunks)) = (Index::unread(sum(4), sum(5)), Index::unread(sum(6), sum(7))) else {
            return Ok(None);
        };
        let layout = Layout::new(self.geometry(), &self.stale, keys.page_count(), chunks.page_count());
        // More bytes than the medium has would overflow the accounts.
        let too_much = (1..4).any(|at| sum(at) > self.geometry().len);
        if layout.blocks() != root.blocks || sum(0) >= SEQUENCE_LIMIT || too_much {
            return Ok(None);
        }
        held.layout = layout;
        let mut segments = vec![];
        for number in 0..layout.tables {
            let Some(table) = held.read_block(load, self.geometry(), layout.table(number))? else { return Ok(None) };
            let (entries, _) = table.as_chunks::<TABLE_ENTRY>();
            let known = self.segments.iter().skip((number * TABLE_SEGMENTS) as usize).take(TABLE_SEGMENTS as usize);
            for (entry, known) in entries.iter().zip(known) {
                let (words, _) = entry.as_chunks::<8>();
                let word = |at: usize| u64::from_le_bytes(words[at]);
                let too_much = word(2).max(word(3)) > self.geometry().len;
                if word(0) != known.generation || word(1) != known.state as u64 || too_much {
                    return Ok(None);
                }
                let mut segment = *known;
                (segment.live, segment.removals) = (word(2), word(3));
                segments.push(segment);
            }
        }
        if segments.len() != self.segments.len() {
            return Ok(None);
        }
        let mut log = Log::new(self.superblock.clone());
        log.report = self.report.clone();
        log.segments = segments;
        log.free = self.free;
        log.next_generation = self.next_generation;
        log.cleared_through = self.cleared_through;
        log.next_sequence = self.next_sequence.max(sum(0));
        log.next_batch = self.next_batch.max(root.batch + 1);
        log.largest = sum(1);
        log.live = sum(2);
        log.removals = sum(3);
        log.keys = keys;
        log.chunks = chunks;
        log.head = Some(Head { segment: root.segment, at: root.at + LINE as u32 });
        Ok(Some((held, log)))
    }
}
