//! Cleaning: live operations move out of a segment that is mostly dead, and the segment becomes free.
//!
//! Operations keep their sequence numbers, so a copy and its original are the same to recovery, whichever of them a
//! crash leaves. A segment is freed only after everything moved out of it is durable. Work is done in steps, so that no
//! turn waits for a whole segment unless the pool is about to run out of room.

use crate::error::Error;
use crate::medium::{Load, Store};
use crate::pool::catalog::Which;
use crate::pool::cleaning::Cleaning;
use crate::pool::dram::NoRoom;
use crate::pool::log::Log;
use crate::pool::record::{FrameHeader, Kind};
use crate::pool::report::DamageKind;
use crate::pool::segment::{Header, HeaderPair, State};
use crate::pool::shadow_counts::Counts;
use crate::pool::stage::Frames;
use crate::pool::walk::{Step, Walk};

/// Free segments that puts leave alone: to clean with, to remove with, to clear with.
pub(crate) const PUT_RESERVE: u32 = 3;
/// Free segments that removals leave alone.
pub(crate) const REMOVE_RESERVE: u32 = 2;
/// A frame of moved operations ends when it is longer than this, in bytes.
const MOVED_FRAME: usize = 32 << 10;
/// How much is moved with one fence, in bytes.
const MOVED_BATCH: usize = 64 << 10;

/// How to choose what to clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Where there is most to win.
    Sparsest,
    /// In turn, so that every superseded put goes sooner or later, and with it the need for its removal.
    Oldest,
}

impl Log {
    /// Cleans a little if free segments are getting few, in proportion to the bytes `written` just before.
    pub(crate) fn maintain(&mut self, store: &impl Store, written: u64) -> Result<(), Error> {
        let mut budget = 16 * written;
        while self.needs_cleaning() && budget > 0 {
            if self.unread.has_checkpoint() {
                // What holds it becomes free, and cleaning has to know the whole index.
                const BLOCK: u64 = 16 << 10;
                match self.read_on(store, (budget / BLOCK) as u32 + 1) {
                    Ok(true) => {}
                    Ok(false) => self.release_checkpoint(store)?,
                    // As below.
                    Err(Error::NoMemory { .. }) => {}
                    Err(error) => return Err(error),
                }
                break;
            }
            match self.clean_step(store, Choice::Sparsest, budget) {
                Ok(Some(walked)) => budget = budget.saturating_sub(walked.max(1)),
                // The turn that this follows is committed; that there is no room to clean in, on the medium or in DRAM,
                // is the next one's error.
                Ok(None) | Err(Error::Full | Error::NoMemory { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether so little is free that every turn cleans a little.
    pub(crate) fn needs_cleaning(&self) -> bool {
        self.space.free() <= PUT_RESERVE + (self.geometry().segments / 64).max(1)
    }

    /// Cleans one segment to its end. `false` if there is none that is worth it.
    pub(crate) fn clean_segment(&mut self, store: &impl Store, choice: Choice) -> Result<bool, Error> {
        let before = self.totals.segments_cleaned();
        while self.clean_step(store, choice, u64::MAX)?.is_some() {
            if self.totals.segments_cleaned() != before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cleans on: walks about `budget` bytes of a segment or moves one batch, whichever comes first. Returns the bytes
    /// walked, or `None` if there is nothing worth cleaning.
    pub(crate) fn clean_step(&mut self, store: &impl Store, choice: Choice, budget: u64) -> Result<Option<u64>, Error> {
        self.finish_reading(store)?;
        let mut moved = self.frames_to_move()?;
        let mut cleaning = match self.cleaning.take() {
            Some(cleaning) => cleaning,
            None => match self.begin_cleaning(store, choice)? {
                Some(cleaning) => cleaning,
                None => return Ok(None),
            },
        };
        let begin = cleaning.walk.position();
        let mut ended = false;
        let mut damaged = None;
        while !ended && moved.byte_len() < MOVED_BATCH && u64::from(cleaning.walk.position() - begin) < budget {
            // What a walk that breaks off had picked is found again by the next one; how much that drops is not known.
            match cleaning.walk.step(store).inspect_err(|_| self.catalog.doubt_shadows())? {
                Step::Frame { at, header } => {
                    ended = self.pick_live(store, &mut cleaning, at, &header, &mut moved);
                }
                Step::Gap { from, to, .. } => damaged = Some((from, to)),
                Step::End { at, .. } => damaged = Some((at, self.batch_limit())),
            }
            if let Some((from, to)) = damaged {
                let start = self.geometry().start_of(cleaning.segment);
                self.note_damage(DamageKind::Records, start + u64::from(from), u64::from(to - from));
                self.space.quarantine(cleaning.segment);
                break;
            }
        }
        let walked = u64::from(cleaning.walk.position() - begin);
        if let Err(error) = self.write_frames(store, &mut moved) {
            self.catalog.doubt_shadows();
            return Err(error);
        }
        if damaged.is_some() {
            // What was moved out of the segment is still there as well, and the shadow counts do not know it.
            self.catalog.doubt_shadows();
        } else if ended {
            self.release(store, cleaning.segment)?;
            store.fence();
            self.totals.count_cleaned();
            self.catalog.discount_shadows(&cleaning.dropped);
        } else {
            self.cleaning.keep(cleaning);
        }
        self.replan();
        Ok(Some(walked))
    }

    /// A buffer for what is moved with one fence.
    pub(crate) fn frames_to_move(&self) -> Result<Frames, NoRoom> {
        Frames::with_room(MOVED_BATCH + MOVED_FRAME, self.space.largest() as usize)
    }

    fn begin_cleaning(&mut self, load: &impl Load, choice: Choice) -> Result<Option<Cleaning>, Error> {
        while let Some(segment) = self.choose_segment(choice) {
            let uuid = self.superblock.uuid;
            if let HeaderPair::Readable { header: header @ Header { state: State::Used, .. }, .. } =
                Header::read(load, &uuid, self.geometry(), segment, self.media.bad())?
            {
                let walk = Walk::new(&uuid, self.geometry(), &header, self.media.bad());
                return Ok(Some(Cleaning { segment, walk, dropped: Counts::default() }));
            }
            let place = self.geometry().start_of(segment);
            self.note_damage(DamageKind::Segment, place, u64::from(self.geometry().segment_size));
            self.space.quarantine(segment);
        }
        Ok(None)
    }

    fn choose_segment(&self, choice: Choice) -> Option<u32> {
        let head = self.frontier.head().map(|head| head.segment);
        let candidates = || {
            let segments = (0..).zip(self.space.segments());
            segments.filter(|(index, segment)| segment.state == State::Used && Some(*index) != head)
        };
        // Half of the removals, for all we know, have nothing left to shadow.
        let sparsest = candidates().min_by_key(|(_, segment)| segment.live + segment.removals / 2)?;
        let size = u64::from(self.geometry().segment_size);
        let gain = size.saturating_sub(sparsest.1.live + sparsest.1.removals / 2);
        if choice == Choice::Sparsest && gain >= size / 32 {
            return Some(sparsest.0);
        }
        (self.space.removals() > 0)
            .then(|| candidates().min_by_key(|(_, segment)| segment.generation))?
            .map(|(index, _)| index)
    }

    /// Copies the operations of a frame that are still needed to `moved`. Says whether the segment ends with the frame.
    pub(crate) fn pick_live(
        &self,
        load: &impl Load,
        cleaning: &mut Cleaning,
        at: u32,
        header: &FrameHeader,
        moved: &mut Frames,
    ) -> bool {
        let start = self.geometry().start_of(cleaning.segment) + u64::from(at);
        let mut ended = false;
        let mut mark = moved.begin_frame();
        let Cleaning { walk, dropped, .. } = cleaning;
        for op in walk.ops(at, header) {
            let hash = self.hash(op.key);
            let place = start + op.at as u64;
            let needed = match op.header.kind {
                Kind::Put | Kind::PutLarge => {
                    let live = self.catalog.is_live(Which::Keys, hash, place);
                    if !live {
                        // One that there is no DRAM to count keeps a removal longer.
                        let _ = dropped.add(self.catalog.shadows().counter(hash), 1);
                    }
                    live
                }
                Kind::Chunk => self.catalog.is_live(Which::Chunks, hash, place),
                Kind::Remove => self.removal_needed(load, hash, op.key, dropped),
                Kind::End => {
                    ended = true;
                    false
                }
                // Who does not know what it says cannot know when it is dead, nor keep it for ever.
                Kind::Cut | Kind::Close | Kind::PassedOver => false,
                Kind::Lost => self.is_lost_still(op.key),
            };
            if needed {
                if moved.begun_len(&mark) > MOVED_FRAME {
                    moved.end_frame(mark);
                    mark = moved.begin_frame();
                }
                moved.push(hash, Some(place), &op.header, op.key, &[op.value]);
            }
        }
        moved.end_frame(mark);
        ended
    }

    /// Whether a put that a removal shadows may still be on the medium when the segment being cleaned is gone.
    fn removal_needed(&self, load: &impl Load, hash: u64, key: &[u8], dropped: &Counts) -> bool {
        // A newer put shadows whatever the removal does.
        if matches!(self.find(load, hash, key), Ok(Some(_))) {
            return false;
        }
        self.catalog.shadows().may_be_more_than(dropped, hash)
    }
}
