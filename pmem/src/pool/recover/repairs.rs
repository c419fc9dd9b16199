//! What recovery found missing on the medium: written before anything else is.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Store};
use crate::pool::chain::Chain;
use crate::pool::checkpoint;
use crate::pool::log::Log;
use crate::pool::record::Kind;
use crate::pool::segment::Header;
use crate::pool::superblock::AREA;

/// What must be written before anything else is.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    /// Segment headers that are not equal to their twin, which counts, with their places.
    pub(super) headers: Vec<(Header, u64)>,
    /// Segments of which nothing counts: their operations are void, or they hold a checkpoint that is not used.
    pub(super) void: Vec<u32>,
    /// Parts that count, and whose headers do not say so yet.
    pub(super) joined: Vec<u32>,
    /// Segments that are as they were earlier. Only the root tells, or the newest header, so they are marked before
    /// either is another one.
    pub(super) outdated: Vec<u32>,
    /// The area in which the superblock has to be written again, for a power cut ended that.
    pub(super) superblock: Option<u64>,
    /// There is something in the place of a checkpoint's root.
    pub(super) root: bool,
    /// The place in the head's segment behind which nothing was acknowledged, in bytes from the segment's start.
    pub(super) cut: Option<u32>,
    /// The head's segment has damage, or another form than segments of this version, and takes no more records.
    pub(super) seal: bool,
    /// What the next batch says of those that count; none where they are not there.
    pub(super) chain: Option<Chain>,
}

impl Repairs {
    /// The area of the superblock that has to be written again.
    pub(crate) fn unfinished_area(&self) -> Option<u64> {
        self.superblock
    }

    /// Takes segments for outdated, whatever their headers need. They are in the order of their numbers.
    pub(super) fn leave_alone(&mut self, outdated: Vec<u32>) {
        let is_kept = |segment: &u32| outdated.binary_search(segment).is_err();
        self.headers.retain(|(header, _)| is_kept(&header.index));
        self.void.retain(is_kept);
        self.joined.retain(is_kept);
        self.outdated = outdated;
    }
}

impl Log {
    /// Links the next batch, of whichever number, to those that count.
    pub(super) fn go_on_from(&mut self, repairs: &Repairs) {
        let next = self.frontier.next_batch();
        self.frontier.set_link(repairs.chain.map_or(0, |chain| chain.link(next)));
    }

    /// Writes what recovery found missing, so that the next recovery finds the same, whatever is written from now on.
    pub(crate) fn repair(&mut self, store: &impl Store, repairs: Repairs) -> Result<(), Error> {
        for segment in &repairs.outdated {
            for place in self.good_places(*segment) {
                Header::write_outdated(store, place)?;
            }
        }
        store.fence();
        if repairs.root {
            checkpoint::invalidate(store)?;
        }
        let good = |place: u64, len: u64| self.media.bad().within(&(place..place + len)).is_none();
        if let Some(area) = repairs.superblock.filter(|area| good(*area, AREA)) {
            self.superblock.finish(store, area)?;
        }
        for (header, place) in repairs.headers.iter().filter(|(_, place)| good(*place, LINE)) {
            header.write_at(store, &self.superblock.uuid, *place)?;
        }
        self.count_parts(store, &repairs.joined)?;
        for &segment in &repairs.void {
            self.release(store, segment)?;
        }
        store.fence();
        let Some(head) = self.frontier.head() else { return Ok(()) };
        // A batch that was being written when the power went has this number. It must not come again at this place:
        // stores of the next batch could complete what is left of a frame that recovery has found void.
        self.frontier.pass_batch();
        self.go_on_from(&repairs);
        let valid_end = repairs.cut.unwrap_or(head.at);
        let Some(head) = self.pass_bad(head) else {
            self.frontier.leave_segment();
            return Ok(());
        };
        self.frontier.move_to(head);
        if repairs.seal || self.batch_limit() - head.at < LINE as u32 {
            self.seal(store, valid_end)?;
        } else {
            self.write_mark(store, Kind::Cut, &u64::from(valid_end).to_le_bytes())?;
        }
        self.replan();
        Ok(())
    }
}
