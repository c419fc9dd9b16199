//! Committing: from the staging buffer to durable records, and from there into the index.
//!
//! The order of every step is what makes it safe; `docs/pool-format.md` argues each. In short: a batch is stored,
//! written back and fenced before the next one begins; a segment is sealed before another one is opened, and opened
//! before it is written to; nothing enters the index before it is durable.

use core::ops::Range;

use crate::error::Error;
use crate::medium::{LINE, Load, Store};
use crate::pool::catalog::Which;
use crate::pool::chain::Chain;
use crate::pool::frontier::Head;
use crate::pool::index::Slot;
use crate::pool::log::{Found, Log, Window};
use crate::pool::record::{Kind, Large, OpHeader, Salt, set_link};
use crate::pool::segment::{Header, State};
use crate::pool::stage::{Frames, StagedOp};

/// A batch that is sealed for its place on the medium.
pub(crate) struct Batch<'b> {
    /// In bytes from the medium's start.
    start: u64,
    bytes: &'b [u8],
    /// What the next batch says of it.
    next_link: u64,
}

/// What the index has of a key that an operation is about to change.
enum Old {
    None,
    Found(Found),
    /// An operation that cannot be read.
    Lost(Slot),
}

/// From this length on the whole lines of a batch are stored past the caches, in bytes. It is mostly one large value
/// then, or many small ones, of which few are read back before they would have left the cache anyway.
const STREAMED: usize = 4 << 10;

impl Batch<'_> {
    /// Stores the batch, pads its last line, and makes it durable.
    pub(crate) fn write(&self, store: &impl Store) -> Result<(), Error> {
        let whole_lines = self.bytes.len() / LINE as usize * LINE as usize;
        let (streamed, rest) = self.bytes.split_at(if self.bytes.len() < STREAMED { 0 } else { whole_lines });
        if !streamed.is_empty() {
            store.stream(self.start, streamed)?;
        }
        let (start, len) = (self.start + streamed.len() as u64, rest.len() as u64);
        let padded = len.next_multiple_of(LINE);
        store.store(start, rest)?;
        if padded > len {
            store.fill(start + len, padded - len, 0)?;
        }
        store.write_back(start..start + padded)?;
        store.fence();
        Ok(())
    }
}

impl Log {
    /// Makes everything staged durable and puts it into the index, whatever that takes: segments sealed and opened, a
    /// clearing, several batches.
    pub(crate) fn commit(&mut self, store: &impl Store) -> Result<(), Error> {
        let cleared = match self.stage.take_clearing() {
            Some(through) => self.clear_through(store, through),
            None => Ok(()),
        };
        self.with_staged(|log, frames| cleared.and_then(|()| log.write_frames(store, frames)))
    }

    /// The ordinary case of [`Self::commit`]: all that is staged is one batch, and it fits behind the head's last one.
    /// Seals it there and says so, so that `write` has nothing to do but to store it; its operations enter the
    /// index afterwards. The medium is then open for writing for as long as the store takes, and for nothing else.
    pub(crate) fn commit_batch(
        &mut self,
        load: &impl Load,
        write: impl FnOnce(&Batch<'_>) -> Result<(), Error>,
    ) -> Option<Result<(), Error>> {
        let head = self.frontier.head()?;
        let room = (self.batch_limit() - head.at) as usize;
        if self.stage.is_clearing() || self.stage.byte_len() > room || self.needs_cleaning() || self.head_is_damaged() {
            return None;
        }
        Some(self.with_staged(|log, frames| {
            let all = 0..frames.len();
            let start = log.append_batch(head, frames, all.clone(), write)?;
            log.index_batch(load, frames, all, start);
            Ok(())
        }))
    }

    /// Runs `write` with what is staged; afterwards nothing is.
    fn with_staged(&mut self, write: impl FnOnce(&mut Self, &mut Frames) -> Result<(), Error>) -> Result<(), Error> {
        let mut frames = self.stage.take_frames();
        let result = write(self, &mut frames);
        self.stage.give_back(frames);
        self.catalog.unreserve();
        self.replan();
        result
    }

    /// Forgets everything staged.
    pub(crate) fn discard_staged(&mut self) {
        self.stage.discard();
        self.catalog.unreserve();
        self.replan();
    }

    /// Reckons anew where the staged frames will go.
    pub(crate) fn replan(&mut self) {
        self.frontier.replan(self.stage.is_clearing(), self.stage.frame_lens());
    }

    /// Writes frames in batches, one for each segment that they fall into, each durable before the next.
    pub(crate) fn write_frames(&mut self, store: &impl Store, frames: &mut Frames) -> Result<(), Error> {
        let mut first = 0;
        while first < frames.len() {
            let (start, last) = self.write_batch(store, frames, first, State::Used)?;
            self.index_batch(store, frames, first..last, start);
            first = last;
        }
        Ok(())
    }

    /// Writes as many frames from `first` on as fit into one segment, as a batch, and makes it durable. A segment that
    /// is opened for it is in use as `state` says. Returns where the batch would begin without a link, and the
    /// first frame that is not in it.
    pub(crate) fn write_batch(
        &mut self,
        store: &impl Store,
        frames: &mut Frames,
        first: usize,
        state: State,
    ) -> Result<(u64, usize), Error> {
        let head = self.head_with_room(store, frames.frame_len(first) as u32, state)?;
        let last = frames.first_unfit(first, (self.batch_limit() - head.at - head.link_len()) as usize);
        let start = self.append_batch(head, frames, first..last, |batch| batch.write(store))?;
        Ok((start, last))
    }

    /// Makes frames durable by `write`, as the batch at the head, and notes that they are. Returns where the batch
    /// would begin without a link.
    fn append_batch(
        &mut self,
        head: Head,
        frames: &mut Frames,
        batch: Range<usize>,
        write: impl FnOnce(&Batch<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let batch = self.seal_batch(head, frames, batch);
        write(&batch)?;
        self.frontier.batch_written(batch.bytes.len(), batch.next_link);
        self.totals.count_commit();
        Ok(batch.start + u64::from(head.link_len()))
    }

    /// Gives frames their places, one behind the other from the head on, and their checksums.
    fn seal_batch<'f>(&self, head: Head, frames: &'f mut Frames, batch: Range<usize>) -> Batch<'f> {
        let start = self.geometry().start_of(head.segment) + u64::from(head.at);
        let salt = Salt::new(&self.superblock.uuid, self.space.segment(head.segment).generation);
        let (number, link) = (self.frontier.next_batch(), self.frontier.link());
        let mut chain = Chain::new(&self.superblock.uuid);
        let bytes = frames.seal_batch(batch, head.link_len() as usize, |frame, at| {
            if at == 0 && head.chained {
                set_link(frame, link);
                chain.begin(link);
            }
            chain.add(salt.seal(frame, start + at, number, start));
        });
        Batch { start, bytes, next_link: chain.link(number + 1) }
    }

    /// Puts the operations of a batch into the index that is durable; `start` is where it would begin without a link.
    fn index_batch(&mut self, load: &impl Load, frames: &Frames, batch: Range<usize>, start: u64) {
        for (op, at) in frames.ops_of_batch(batch) {
            self.index_staged(load, frames, op, start + at);
        }
    }

    /// Writes a frame of one operation on nothing, as a batch of its own, at the head.
    pub(crate) fn write_mark(&mut self, store: &impl Store, kind: Kind, value: &[u8]) -> Result<(), Error> {
        let Some(head) = self.frontier.head() else { return Err(Error::Full) };
        // Without a number of its own, so that no word of the mark completes what a power cut left of an operation
        // there.
        let header = OpHeader::new(kind, 0, value.len());
        let mut frames = Frames::default();
        let frame = frames.begin_frame();
        frames.push(0, None, &header, &[], &[value]);
        frames.end_frame(frame);
        self.append_batch(head, &mut frames, 0..1, |batch| batch.write(store)).map(drop)
    }

    /// The head, with room for a frame of `len` bytes: this one, or that of a segment opened now, as `state` says.
    pub(crate) fn head_with_room(&mut self, store: &impl Store, len: u32, state: State) -> Result<Head, Error> {
        loop {
            match self.frontier.head() {
                Some(head) if len + head.link_len() <= self.batch_limit() - head.at && !self.head_is_damaged() => {
                    return Ok(head);
                }
                Some(head) => self.seal(store, head.at)?,
                None => self.open_segment(store, state, 0)?,
            }
        }
    }

    /// Whether damage was found in the head's segment: then it takes no more records.
    fn head_is_damaged(&self) -> bool {
        self.frontier.head().is_some_and(|head| self.space.segment(head.segment).state == State::Quarantined)
    }

    /// Ends the head's segment: its records end at `valid_end`, and nothing follows. In the line kept for that, if all
    /// others are full.
    pub(crate) fn seal(&mut self, store: &impl Store, valid_end: u32) -> Result<(), Error> {
        self.write_mark(store, Kind::End, &u64::from(valid_end).to_le_bytes())?;
        self.frontier.leave_segment();
        Ok(())
    }

    /// Takes the free segment that was used longest ago and makes it the head.
    ///
    /// The first header is durable before anything else is written, so that no record of this generation exists unless
    /// the header does; and its first word comes last, so that the header of the last use never reads as used again.
    /// The second header becomes durable with the first batch. Parts from the generation `joined_from` on, if it is not
    /// 0, count as soon as the segment is used.
    pub(crate) fn open_segment(&mut self, store: &impl Store, state: State, joined_from: u64) -> Result<(), Error> {
        let Some(index) = self.space.oldest_free() else { return Err(Error::Full) };
        let generation = self.frontier.next_generation();
        let sums = self.sums_with(index, generation);
        let header = Header {
            state,
            index,
            chained: self.frontier.is_chained(),
            generation,
            first_sequence: self.frontier.next_sequence(),
            first_batch: self.frontier.next_batch(),
            cleared_through: self.frontier.cleared_through(),
            joined_from,
            sums: self.told(sums),
        };
        let places = Header::places(self.geometry(), header.index);
        Header { state: State::Free, ..header }.write_at(store, &self.superblock.uuid, places[0])?;
        store.fence();
        header.write_state(store, places[0])?;
        store.fence();
        header.write_at(store, &self.superblock.uuid, places[1])?;

        self.sums = sums;
        self.space.open(index, state, header.generation);
        self.frontier.open_segment(index);
        Ok(())
    }

    /// Makes every operation up to a sequence number void, by opening a segment that says so, and frees all others.
    fn clear_through(&mut self, store: &impl Store, through: u64) -> Result<(), Error> {
        if self.space.free() == 0 {
            self.finish_reading(store)?;
        }
        if self.space.free() == 0 {
            return Err(Error::Full);
        }
        let pages = self.catalog.pages_to_clear()?;
        if let Some(head) = self.frontier.head() {
            self.seal(store, head.at)?;
        }
        self.frontier.clear_through(through);
        self.open_segment(store, State::Used, 0)?;

        self.catalog.clear(self.stage.room(), pages);
        self.cleaning.stop();
        self.space.void_all();
        self.release_checkpoint(store)?;
        let void =
            |log: &Log, segment: u32| log.space.segment(segment).state == State::Used && !log.frontier.is_head(segment);
        for segment in 0..self.geometry().segments {
            if void(self, segment) {
                self.release(store, segment)?;
            }
        }
        store.fence();
        Ok(())
    }

    /// Frees a segment. It may be used again after the next fence.
    pub(crate) fn release(&mut self, store: &impl Store, index: u32) -> Result<(), Error> {
        let free = Header::unused(index);
        for (position, place) in self.good_places(index).enumerate() {
            if position > 0 {
                store.fence();
            }
            free.write_state(store, place)?;
        }
        self.space.release(index);
        self.set_verified(index);
        // One with bad bytes is never used again.
        if self.is_bad(index) {
            self.space.quarantine(index);
        }
        Ok(())
    }

    /// Puts an operation that is durable at `place` into the index.
    ///
    /// It is too late to fail: what cannot be read any more of an older operation is left out of the accounts.
    fn index_staged(&mut self, load: &impl Load, frames: &Frames, op: &StagedOp, place: u64) {
        if let Some(from) = op.from {
            self.space.note_length(op.header.cost());
            return self.index_move(op.hash, &op.header, from, place);
        }
        self.index_op(load, op.hash, &op.header, frames.key_of(op), frames.value_of(op), place);
    }

    /// The same for an operation that is new, and not moved.
    pub(crate) fn index_op(
        &mut self,
        load: &impl Load,
        hash: u64,
        header: &OpHeader,
        key: &[u8],
        value: &[u8],
        place: u64,
    ) {
        let cost = header.cost();
        self.space.note_length(cost);
        if matches!(header.kind, Kind::Put | Kind::PutLarge | Kind::Remove) {
            self.totals.count_operation();
        }
        match header.kind {
            Kind::Put | Kind::PutLarge => {
                let object = Large::decode(value).filter(|_| header.kind == Kind::PutLarge).map(|large| large.object);
                let over = match self.find_old(load, hash, key) {
                    Old::Found(old) => {
                        self.retire(load, hash, &old, object);
                        Some(old.slot)
                    }
                    Old::Lost(slot) => Some(slot),
                    Old::None => None,
                };
                self.catalog.enter(Which::Keys, hash, over, place);
                self.space.count_live(place, cost);
                self.catalog.count_value(header.expires_at_ms);
            }
            Kind::Remove => {
                match self.find_old(load, hash, key) {
                    Old::Found(old) => {
                        self.retire(load, hash, &old, None);
                        self.catalog.remove(Which::Keys, hash, old.slot);
                    }
                    Old::Lost(slot) => self.catalog.remove(Which::Keys, hash, slot),
                    Old::None => {}
                }
                self.space.count_removal(place, cost);
            }
            // The index has it already.
            Kind::Lost => self.space.count_removal(place, cost),
            Kind::Chunk => {
                let window = &mut Window::for_key(key);
                let old = self.find_in(self.catalog.chunks(), load, hash, key, window).ok().flatten();
                if let Some(old) = &old {
                    self.space.count_dead(old.place, old.header.cost());
                }
                self.catalog.enter(Which::Chunks, hash, old.map(|old| old.slot), place);
                self.space.count_live(place, cost);
            }
            Kind::End | Kind::Cut | Kind::Close | Kind::PassedOver => {}
        }
    }

    /// What a new operation on a key takes the place of. An entry of the key's hash whose operation cannot be read is
    /// taken for the key's: that is how a lost key becomes well again.
    fn find_old(&mut self, load: &impl Load, hash: u64, key: &[u8]) -> Old {
        match self.find(load, hash, key) {
            Ok(Some(old)) if self.catalog.unmark_lost(old.place) => {
                if let Ok(large) = self.large(load, &old) {
                    self.drop_chunks(load, &large, large.chunks());
                }
                self.catalog.discount_value(old.header.expires_at_ms);
                Old::Lost(old.slot)
            }
            Ok(Some(old)) => Old::Found(old),
            Err(Error::Damaged { offset }) => {
                self.catalog.unmark_lost(offset);
                self.catalog.keys().find_place(hash, offset).map_or(Old::None, Old::Lost)
            }
            _ => Old::None,
        }
    }

    /// Lets the index follow an operation that was moved.
    fn index_move(&mut self, hash: u64, header: &OpHeader, from: u64, place: u64) {
        let cost = header.cost();
        let which = match header.kind {
            Kind::Put | Kind::PutLarge => Which::Keys,
            Kind::Chunk => Which::Chunks,
            _ => return self.space.count_removal(place, cost),
        };
        if let Some(slot) = self.catalog.index(which).find_place(hash, from) {
            self.catalog.enter(which, hash, Some(slot), place);
            self.space.count_dead(from, cost);
            self.space.count_live(place, cost);
        }
        self.totals.count_moved(cost);
    }

    /// Takes a superseded put, and its chunks unless they are of the object that is kept, out of the accounts. Its
    /// entry in the index is the caller's.
    fn retire(&mut self, load: &impl Load, hash: u64, old: &Found, kept: Option<u64>) {
        self.space.count_dead(old.place, old.header.cost());
        self.catalog.discount_value(old.header.expires_at_ms);
        self.catalog.count_shadow(hash);
        if old.header.kind == Kind::PutLarge
            && let Ok(large) = self.large(load, old)
            && kept != Some(large.object)
        {
            self.drop_chunks(load, &large, large.chunks());
        }
    }

    /// Takes the first `count` chunks of a large value out of the index and the accounts.
    pub(crate) fn drop_chunks(&mut self, load: &impl Load, large: &Large, count: u32) {
        for chunk in 0..count {
            let key = large.chunk_key(chunk);
            if let Ok(Some(found)) = self.find_chunk(load, &key) {
                self.space.count_dead(found.place, found.header.cost());
                self.catalog.remove(Which::Chunks, self.hash(&key), found.slot);
            }
        }
    }
}
