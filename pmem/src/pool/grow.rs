//! Growing a stopped pool, in place, into all of a medium that has become longer.
//!
//! Nothing of what the pool holds moves: it gets more segments, and its second superblock another place. As long as
//! that is under way the first superblock says so, for a new segment may lie where the second one was.

use crate::error::Error;
use crate::medium::{Medium, Store};
use crate::pool::log::Log;
use crate::pool::segment::Header;
use crate::pool::superblock::{AREA, Geometry, Superblock};
use crate::pool::{Pool, refuse_unwritable};

/// What a growth came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The pool is as long as the medium now.
    Done {
        /// The length that it had, in bytes.
        from: u64,
        /// How many segments were added.
        segments: u32,
    },
    /// It was as long as the medium already.
    NotNeeded,
}

impl<M: Medium> Pool<M> {
    /// Makes the pool on `medium`, which nobody has opened, as long as the medium is. Its keys stay where they are, and
    /// so does its division into segments: there are more of them. A power cut leaves a pool of the one length or of
    /// the other, and this can be run again.
    ///
    /// The next opening reads every record. A pool of version 1 has to be migrated first ([`Pool::migrate`]).
    pub fn grow(medium: M) -> Result<(M, Growth), Error> {
        refuse_unwritable(&medium)?;
        let found = medium.read(|load| Superblock::read(&load))??;
        if found.superblock.version == 1 {
            return Err(Error::OldVersion { found: 1 });
        }
        let from = found.superblock.geometry;
        let next = from.grown(medium.len())?;
        if next == from && found.unfinished.is_none() {
            return Ok((medium, Growth::NotNeeded));
        }
        // Finishes what a power cut has left of a growth, or gives it up.
        let Pool { medium, mut log, .. } = Self::open(medium)?;
        if next != from {
            medium.write(|store| {
                log.finish_reading(&store)?;
                log.mark_closed(&store)?;
                log.grow(&store, next)
            })??;
        }
        Ok((medium, Growth::Done { from: from.len, segments: next.segments - from.segments }))
    }
}

impl Log {
    fn grow(&mut self, store: &impl Store, geometry: Geometry) -> Result<(), Error> {
        let mut next = self.superblock.clone();
        next.geometry = geometry;
        next.epoch += 1;
        self.check_areas(&self.superblock)?;
        self.check_areas(&next)?;
        self.mend_first_superblock(store)?;
        self.superblock.say_growing(store)?;
        // It must not be found again where it is now, whatever becomes of the medium.
        for area in [&self.superblock, &next].map(|superblock| superblock.places()[1]) {
            store.fill(area, AREA, 0)?;
            store.write_back(area..area + AREA)?;
        }
        Header::write_unused(store, &next.uuid, &geometry, self.geometry().segments, |_| {})?;
        // From the first fence in here on all of that is durable.
        for place in next.places().into_iter().rev() {
            next.write_at(store, place)?;
        }
        self.superblock = next;
        Ok(())
    }
}
