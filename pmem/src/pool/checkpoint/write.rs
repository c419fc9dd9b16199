//! Writing a checkpoint, at the end of a clean shutdown.

use alloc::vec::Vec;

use super::{
    BLOCK_HEADER, DIRECTORY_BLOCKS, DIRECTORY_LEN, Layout, ROOT, Root, Row, SUMS, TABLE_ENTRY, TABLE_SEGMENTS,
    begin_block, seal_block,
};
use crate::error::Error;
use crate::medium::{LINE, Store};
use crate::pool::clean::Choice;
use crate::pool::dram::{self, NoRoom};
use crate::pool::index::{Index, page_len};
use crate::pool::log::Log;
use crate::pool::record::{Kind, LEAST_FRAME};
use crate::pool::report::DamageKind;
use crate::pool::segment::{Header, State};
use crate::pool::sums::Sums;

/// Free segments that a checkpoint leaves.
const LEFT: u32 = 1;

/// What shutting a pool down left for the next opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// A checkpoint: the next opening takes the same time however many keys there are.
    Checkpoint {
        /// What it takes on the medium, in bytes.
        bytes: u64,
    },
    /// No checkpoint, for nothing was ever written.
    Empty,
    /// No checkpoint, for there is not enough free. The next opening reads every record.
    TooFull {
        /// Free segments that a checkpoint would have taken.
        segments: u32,
    },
    /// No checkpoint, for there is not enough DRAM to write one. The next opening reads every record.
    NoMemory,
    /// No checkpoint, for there is damage: the next opening reads every record, and reports what is damaged again.
    Damaged,
}

impl Log {
    /// Ends the log and writes a checkpoint behind it, if that can be done. Everything was committed and loaded.
    pub(crate) fn shut_down(&mut self, store: &impl Store) -> Result<Shutdown, Error> {
        // Superseded puts of a segment that is half cleaned are not counted as recovery would. If this fails, what was
        // cleaned is as good as before, and there is no checkpoint.
        while self.cleaning.is_busy() && self.clean_step(store, Choice::Sparsest, u64::MAX).is_ok() {}
        if let Err(why) = self.plan_checkpoint() {
            self.mark_closed(store)?;
            return Ok(why);
        }
        // The root is of a *close*, so there must be room for one.
        let head = self.head_with_room(store, LEAST_FRAME as u32, State::Used)?;
        self.write_mark(store, Kind::Close, &[])?;
        self.frontier.set_closed(true);
        match self.plan_checkpoint() {
            Ok((layout, segments)) => self.write_checkpoint(store, layout, segments, head.segment, head.at),
            // The segment opened for the mark was one too many.
            Err(why) => Ok(why),
        }
    }

    /// Says in the log that it is complete.
    pub(crate) fn mark_closed(&mut self, store: &impl Store) -> Result<(), Error> {
        let Some(head) = self.frontier.head().filter(|_| !self.frontier.is_closed()) else { return Ok(()) };
        // A segment's end proves as much as a mark that the pool was closed.
        match head.at >= self.batch_limit() {
            true => self.seal(store, head.at),
            false => self.write_mark(store, Kind::Close, &[]),
        }
    }

    /// Which blocks there would be, and how many segments they would take.
    fn plan_checkpoint(&self) -> Result<(Layout, u32), Shutdown> {
        if self.space.free() == self.geometry().segments {
            return Err(Shutdown::Empty);
        }
        let repeats = |kind: DamageKind| kind != DamageKind::Checkpoint;
        let damaged = self.findings.damage().iter().any(|damage| repeats(damage.kind));
        if damaged
            || self.space.quarantined() > 0
            || !self.media.bad().is_empty()
            || self.catalog.shadows().is_uncertain()
        {
            return Err(Shutdown::Damaged);
        }
        if self.cleaning.is_busy() {
            // There was no buffer to clean on with, and the counts of superseded puts are not recovery's.
            return Err(Shutdown::NoMemory);
        }
        let (keys, chunks, shadows) = (self.catalog.keys(), self.catalog.chunks(), self.catalog.shadows());
        let layout = Layout::new(self.geometry(), shadows, keys.page_count(), chunks.page_count());
        let pages = u64::from(layout.key_pages) + u64::from(layout.chunk_pages);
        let content = SUMS as u64
            + u64::from(self.geometry().segments) * TABLE_ENTRY as u64
            + shadows.encoded_len()
            + page_len(pages, keys.len() + chunks.len());
        let directory = u64::from(layout.blocks().div_ceil(DIRECTORY_BLOCKS)) * DIRECTORY_LEN as u64;
        let bytes = content + u64::from(layout.blocks()) * BLOCK_HEADER as u64 + directory;
        let segments = bytes.div_ceil(Row::per_segment(self.geometry())).min(u64::from(u32::MAX)) as u32;
        if segments.saturating_add(LEFT) > self.space.free() {
            Err(Shutdown::TooFull { segments })
        } else {
            Ok((layout, segments))
        }
    }

    fn write_checkpoint(
        &mut self,
        store: &impl Store,
        layout: Layout,
        segments: u32,
        close_segment: u32,
        close_at: u32,
    ) -> Result<Shutdown, Error> {
        let mut root = Root {
            batch: self.frontier.newest_batch(),
            segment: close_segment,
            at: close_at,
            generation: self.frontier.next_generation(),
            segments,
            blocks: layout.blocks(),
            directory: 0,
            digest: 0,
        };
        let Ok(mut places) = dram::with_room(layout.blocks() as usize + 1) else { return Ok(Shutdown::NoMemory) };
        let Ok(mut headers) = self.plan_row(segments) else { return Ok(Shutdown::NoMemory) };
        let row = self.open_row(store, &mut headers)?;
        root.digest = self.digest();
        let salt = root.salt(&self.superblock.uuid);
        let mut at = 0;
        for number in 0..layout.blocks() {
            places.push(at);
            let mut block = begin_block();
            if !self.encode_block(&layout, number, &mut block) {
                return self.give_up(store, &row);
            }
            // Counts that are all zero take no bytes.
            if block.len() > BLOCK_HEADER {
                seal_block(salt, number, &mut block);
                row.write(store, self.geometry(), at, &block)?;
                at += block.len() as u64;
            }
        }
        places.push(at);
        root.directory = at;
        for part in 0..layout.blocks().div_ceil(DIRECTORY_BLOCKS) {
            let mut block = begin_block();
            for place in places.iter().skip((part * DIRECTORY_BLOCKS) as usize).take(DIRECTORY_BLOCKS as usize + 1) {
                block.extend_from_slice(&place.to_le_bytes());
            }
            block.resize(DIRECTORY_LEN, 0);
            seal_block(salt, layout.blocks() + part, &mut block);
            row.write(store, self.geometry(), at, &block)?;
            at += DIRECTORY_LEN as u64;
        }
        store.fence();

        store.store(ROOT, &root.encode(&self.superblock.uuid))?;
        store.write_back(ROOT..ROOT + LINE)?;
        store.fence();
        Ok(Shutdown::Checkpoint { bytes: at + LINE })
    }

    /// The free segments that a checkpoint takes, those first that were used longest ago.
    fn plan_row(&self, segments: u32) -> Result<Vec<Header>, NoRoom> {
        let mut free = dram::with_room(self.space.free() as usize)?;
        free.extend(self.space.those(State::Free).map(|index| (self.space.segment(index).generation, index)));
        free.sort_unstable();
        let mut headers = dram::with_room(segments as usize)?;
        headers.extend(free.iter().take(segments as usize).zip(self.frontier.next_generation()..).map(
            |((_, index), generation)| Header {
                state: State::Checkpoint,
                index: *index,
                chained: false,
                generation,
                first_sequence: self.frontier.next_sequence(),
                first_batch: self.frontier.next_batch(),
                cleared_through: self.frontier.cleared_through(),
                joined_from: 0,
                sums: Sums::default(),
            },
        ));
        Ok(headers)
    }

    /// Takes the segments for a checkpoint.
    fn open_row(&mut self, store: &impl Store, headers: &mut [Header]) -> Result<Row, Error> {
        let uuid = self.superblock.uuid;
        for header in &*headers {
            self.sums = self.sums_with(header.index, header.generation);
        }
        if let Some(newest) = headers.last_mut() {
            newest.sums = self.told(self.sums);
        }
        // As for records: the state comes last, in one word, so that no former header reads as used. The newest header
        // tells of the others' generations, so it comes behind them.
        for (position, header) in headers.iter().enumerate() {
            if position > 0 && position + 1 == headers.len() {
                store.fence();
            }
            let first = Header::places(self.geometry(), header.index)[0];
            Header { state: State::Free, ..*header }.write_at(store, &uuid, first)?;
        }
        store.fence();
        for header in &*headers {
            header.write_state(store, Header::places(self.geometry(), header.index)[0])?;
        }
        store.fence();
        for header in &*headers {
            header.write_at(store, &uuid, Header::places(self.geometry(), header.index)[1])?;
            self.space.open(header.index, State::Checkpoint, header.generation);
        }
        self.frontier.take_generations(headers.len() as u64);
        Ok(Row { segments: headers.iter().map(|header| header.index).collect() })
    }

    /// Frees the segments of a checkpoint that cannot be written.
    fn give_up(&mut self, store: &impl Store, row: &Row) -> Result<Shutdown, Error> {
        for segment in &row.segments {
            self.release(store, *segment)?;
        }
        store.fence();
        Ok(Shutdown::TooFull { segments: row.segments.len() as u32 })
    }

    /// Appends a block's content. `false` if it cannot be written.
    fn encode_block(&self, layout: &Layout, number: u32, out: &mut Vec<u8>) -> bool {
        let page = |index: &Index, first: u32, out: &mut Vec<u8>| index.encode_page(number - first, out);
        if number == 0 {
            let sums = [
                self.frontier.next_sequence(),
                self.space.largest(),
                self.space.live(),
                self.space.removals(),
                self.catalog.keys().bucket_count(),
                self.catalog.keys().len(),
                self.catalog.chunks().bucket_count(),
                self.catalog.chunks().len(),
            ];
            out.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
            let expiring = self.catalog.expiring().map(|expiring| expiring.words());
            out.extend(expiring.into_iter().flatten().flat_map(u64::to_le_bytes));
        } else if number < layout.shadows(0) {
            let first = (number - layout.table(0)) * TABLE_SEGMENTS;
            for segment in self.space.segments().iter().skip(first as usize).take(TABLE_SEGMENTS as usize) {
                let state = segment.state as u64;
                let words = [segment.generation, state, segment.live, segment.removals];
                out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            }
        } else if number < layout.key_page(0) {
            self.catalog.shadows().encode(number - layout.shadows(0), out);
        } else if number < layout.chunk_page(0) {
            return page(self.catalog.keys(), layout.key_page(0), out);
        } else {
            return page(self.catalog.chunks(), layout.chunk_page(0), out);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;
    use crate::medium::Medium;
    use crate::pool::clean::Choice;
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    #[test]
    fn no_checkpoint_is_written_while_a_segment_is_half_cleaned() {
        for no_memory in [false, true] {
            let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
            for number in 0..200u8 {
                pool.turn(|turn| turn.put(&[number % 100], &[number; 900], None)).unwrap().0.unwrap();
            }
            let Pool { medium, log, .. } = &mut pool;
            medium.write(|store| log.clean_step(&store, Choice::Sparsest, 1)).unwrap().unwrap();
            assert!(log.cleaning.is_busy());
            if no_memory {
                // No allocator has a buffer for a record of this length.
                log.space.note_length(i64::MAX as u64);
            }
            let shutdown = medium.write(|store| log.shut_down(&store)).unwrap().unwrap();
            assert_eq!(shutdown == Shutdown::NoMemory, no_memory, "{shutdown:?}");
        }
    }
}
