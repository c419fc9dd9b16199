//! Media errors: what follows when the medium reports that it cannot read some bytes any more.
//!
//! The range enters the list of bad ranges, in DRAM and on the medium, and every segment that it touches is set aside
//! for good: nothing is written there again. Then all that can still be read of such a segment is moved out of it, so
//! that nothing depends on it; a live operation that is hit itself cannot be, and its key becomes *lost*. The index
//! keeps the key's entry, with its place: reading it is an error that names that place, writing the key anew or
//! removing it is not. A record says the same to later recoveries.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;
use crate::medium::{LINE, Load, Medium, Store};
use crate::pool::Pool;
use crate::pool::catalog::Which;
use crate::pool::frontier::Head;
use crate::pool::index::Index;
use crate::pool::log::Log;
use crate::pool::record::{Kind, Lost, OpHeader};
use crate::pool::report::DamageKind;
use crate::pool::segment::{Header, HeaderPair, State};
use crate::pool::stage::Frames;

/// How much is moved with one fence, in bytes.
const MOVED_BATCH: usize = 64 << 10;
/// How many lost keys one frame names at most.
const LOST_PER_FRAME: usize = 128;

impl<M: Medium> Pool<M> {
    /// Looks whether the medium has reported errors since the last time, and acts on them.
    pub(crate) fn poll_media_errors(medium: &M, log: &mut Log) -> Result<(), Error> {
        let news = log.media.poll(medium, log.superblock.geometry.len);
        if news.is_empty() {
            return Ok(());
        }
        medium.write(|store| log.isolate(&store, &news))?
    }
}

impl Log {
    /// Treats bytes that are not as they were written like such that cannot be read.
    pub(crate) fn set_aside(&mut self, store: &impl Store, range: Range<u64>) -> Result<(), Error> {
        self.discard_staged();
        match self.media.give_up(&range) {
            true => self.isolate(store, core::slice::from_ref(&range)),
            false => Ok(()),
        }
    }

    /// Makes ranges that have just become bad durable in the list, sets their segments aside, and moves everything that
    /// can be read out of these.
    fn isolate(&mut self, store: &impl Store, news: &[Range<u64>]) -> Result<(), Error> {
        self.media.write(store, &self.superblock)?;
        self.findings.set_bad_ranges(self.media.bad().to_vec());
        // Whatever an opening left to be read: a part of it may be what cannot be read now, or name what lies there.
        self.finish_reading(store)?;
        for range in news {
            self.note_damage(DamageKind::Media, range.start, range.end - range.start);
        }
        let segments = self.bad_segments(news);
        let mut used = Vec::new();
        for segment in &segments {
            if self.space.segment(*segment).state != State::Free {
                used.push(*segment);
            }
            self.space.quarantine(*segment);
            if self.cleaning.stop_in(*segment) {
                // What it has moved already counts; how much it has dropped does not, any more.
                self.catalog.doubt_shadows();
            }
            if self.frontier.is_head(*segment) {
                self.leave_head(store)?;
            }
        }
        for segment in used {
            match self.rescue(store, segment) {
                // Without room to move to, everything stays where it is, and is readable there as far as it is at all.
                Ok(()) | Err(Error::Full) => {}
                Err(error) => return Err(error),
            }
        }
        self.replan();
        Ok(())
    }

    /// The segments that these ranges touch.
    pub(crate) fn bad_segments(&self, ranges: &[Range<u64>]) -> Vec<u32> {
        let size = u64::from(self.geometry().segment_size);
        let touched = |segment: &u32| {
            let start = self.geometry().start_of(*segment);
            ranges.iter().any(|range| range.start < start + size && start < range.end)
        };
        (0..self.geometry().segments).filter(touched).collect()
    }

    /// Ends the head's segment, in which bytes are bad, as far as that is possible.
    pub(crate) fn leave_head(&mut self, store: &impl Store) -> Result<(), Error> {
        let Some(head) = self.frontier.head() else { return Ok(()) };
        let valid_end = head.at;
        match self.pass_bad(head) {
            Some(head) => {
                self.frontier.move_to(head);
                self.seal(store, valid_end)
            }
            // Without an end it counts as damaged at its end, which is true.
            None => {
                self.frontier.leave_segment();
                Ok(())
            }
        }
    }

    /// The first line from the head on, up to the one kept for the segment's end, that is not bad.
    pub(crate) fn pass_bad(&self, head: Head) -> Option<Head> {
        let start = self.geometry().start_of(head.segment);
        let lines = (head.at..=self.batch_limit()).step_by(LINE as usize);
        lines.map(|at| Head { at, ..head }).find(|head| {
            let at = start + u64::from(head.at);
            self.media.bad().within(&(at..at + LINE)).is_none()
        })
    }

    /// Moves everything that can be read out of a segment that is set aside, writes down which keys are lost, and frees
    /// the segment, which stays set aside.
    pub(crate) fn rescue(&mut self, store: &impl Store, segment: u32) -> Result<(), Error> {
        let uuid = self.superblock.uuid;
        if let HeaderPair::Readable { header, .. } =
            Header::read(store, &uuid, self.geometry(), segment, self.media.bad())?
            && header.state == State::Used
        {
            // Valid frames, with their removals, as cleaning and repair do it.
            self.move_out(store, &header)?;
        }
        let start = self.geometry().start_of(segment);
        let within = start..start + u64::from(self.geometry().segment_size);
        // What is left in the index lies in frames that are hit somewhere.
        let mut left = Vec::new();
        for (index, of_chunks) in [(self.catalog.keys(), false), (self.catalog.chunks(), true)] {
            index.each(|hash, place| {
                if within.contains(&place) {
                    left.push((place, hash, of_chunks));
                }
            });
        }
        left.sort_unstable();
        let mut moved = Frames::default();
        let mut lost = Vec::new();
        for (place, hash, of_chunks) in left {
            match self.read_whole(store, place, hash)? {
                Some((header, key, value)) => {
                    let mark = moved.begin_frame();
                    moved.push(self.hash(&key), Some(place), &header, &key, &[&value]);
                    moved.end_frame(mark);
                }
                // Whose value it is a part of is found when that is read.
                None if of_chunks => {}
                None => {
                    self.catalog.mark_lost(hash, place);
                    // Of two keys with the same hash the other one is not to suffer.
                    if self.catalog.keys().find(hash, |other| other != place).is_none() {
                        lost.push(Lost { hash, place });
                    }
                }
            }
            if moved.byte_len() >= MOVED_BATCH {
                self.write_frames(store, &mut moved)?;
                moved.clear();
            }
        }
        for lost in lost.chunks(LOST_PER_FRAME) {
            let mark = moved.begin_frame();
            for lost in lost {
                let key = lost.encode();
                let sequence = self.frontier.take_sequence();
                let header = OpHeader { sequence, ..OpHeader::new(Kind::Lost, key.len(), 0) };
                moved.push(lost.hash, None, &header, &key, &[]);
            }
            moved.end_frame(mark);
        }
        self.write_frames(store, &mut moved)?;
        self.release(store, segment)?;
        store.fence();
        Ok(())
    }

    /// Whether any byte of a segment is bad.
    pub(crate) fn is_bad(&self, segment: u32) -> bool {
        let start = self.geometry().start_of(segment);
        self.media.bad().within(&(start..start + u64::from(self.geometry().segment_size))).is_some()
    }

    /// The places of a segment's headers that can be written.
    pub(crate) fn good_places(&self, segment: u32) -> impl Iterator<Item = u64> + use<> {
        let places = Header::places(self.geometry(), segment);
        let good = places.map(|place| self.media.bad().within(&(place..place + LINE)).is_none());
        places.into_iter().zip(good).filter(|(_, good)| *good).map(|(place, _)| place)
    }

    /// Whether bytes of a segment are bad and nothing is left in it that counts.
    pub(crate) fn is_empty_and_bad(&self, load: &impl Load, segment: u32) -> Result<bool, Error> {
        let header = Header::read(load, &self.superblock.uuid, self.geometry(), segment, self.media.bad())?;
        Ok(self.is_bad(segment)
            && matches!(header, HeaderPair::Readable { header: Header { state: State::Free, .. }, .. }))
    }

    /// An operation, if every byte of it can be read and it is on a key of this hash.
    #[expect(clippy::type_complexity, reason = "the three parts of an operation")]
    fn read_whole(
        &self,
        load: &impl Load,
        place: u64,
        hash: u64,
    ) -> Result<Option<(OpHeader, Vec<u8>, Vec<u8>)>, Error> {
        let Some(header) = self.header_at(load, place)? else { return Ok(None) };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for (at, len, into) in
            [(header.key_at(), header.key_len, &mut key), (header.value_at(), header.value_len, &mut value)]
        {
            match self.append(load, place + at as u64, len, into) {
                Ok(()) => {}
                Err(Error::Damaged { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let is_it = self.hash(&key) as u32 == hash as u32 && !self.is_hit(place, &header);
        Ok(is_it.then_some((header, key, value)))
    }

    /// Whether the key that a [`Kind::Lost`] names is lost still.
    pub(crate) fn is_lost_still(&self, key: &[u8]) -> bool {
        Lost::decode(key).is_some_and(|lost| self.catalog.is_live(Which::Keys, lost.hash, lost.place))
    }

    /// In recovery, once it is known which segments are used: sets those aside in which bytes are bad.
    pub(crate) fn set_bad_aside(&mut self) {
        for range in self.media.bad().to_vec() {
            for segment in self.bad_segments(core::slice::from_ref(&range)) {
                if self.space.segment(segment).state == State::Used {
                    // Nothing was moved out of it yet.
                    self.note_damage(DamageKind::Media, range.start, range.end - range.start);
                }
                self.space.quarantine(segment);
            }
        }
    }

    /// In recovery, when every operation is known: puts a lost key into the index in place of its older operations,
    /// unless there is a newer one, or a newer removal among those `removed`.
    pub(crate) fn admit_lost(
        &mut self,
        load: &impl Load,
        lost: Lost,
        sequence: u64,
        removed: &Index,
    ) -> Result<(), Error> {
        let mut older = Vec::new();
        let mut others = Vec::new();
        for index in [self.catalog.keys(), removed] {
            index.find(lost.hash, |place| {
                others.push(place);
                false
            });
        }
        for place in others {
            if place == lost.place {
                return Ok(());
            }
            match self.header_at(load, place)? {
                Some(header) if header.sequence > sequence => return Ok(()),
                Some(header) => older.push((place, header)),
                // Another lost key.
                None => {}
            }
        }
        for (place, header) in older {
            let Some(slot) = self.catalog.keys().find_place(lost.hash, place) else { continue };
            self.catalog.remove(Which::Keys, lost.hash, slot);
            if header.is_put() {
                self.space.count_dead(place, header.cost());
                self.catalog.discount_value(header.expires_at_ms);
                let mut key = Vec::new();
                self.append(load, place + header.key_at() as u64, header.key_len, &mut key)?;
                self.catalog.count_shadow(self.hash(&key));
            }
        }
        self.reserve_keys(self.stage.room().keys + 1)?;
        self.catalog.enter(Which::Keys, lost.hash, None, lost.place);
        self.catalog.mark_lost(lost.hash, lost.place);
        Ok(())
    }
}
