//! Verifying records that an opening from a checkpoint did not read: a segment's before the first of them is used, the
//! others by and by.
//!
//! A segment that is not as it was written ends the checkpoint too: the log is read in place, and says what is damaged.

use super::unverified::Progress;
use crate::error::Error;
use crate::medium::Load;
use crate::pool::catalog::Which;
use crate::pool::log::Log;
use crate::pool::segment::{Header, HeaderPair, State};
use crate::pool::walk::Walk;

impl Log {
    /// Notes that a segment is not to be verified any more: it was, or it holds no more what it held.
    pub(crate) fn set_verified(&mut self, segment: u32) {
        if let Some(unverified) = &mut self.unread.unverified
            && !unverified.remove(segment)
        {
            self.unread.unverified = None;
        }
    }

    /// The segment of a place, if its records are still to be verified.
    fn unverified_at(&self, place: u64) -> Option<u32> {
        let unverified = self.unread.unverified.as_ref()?;
        self.geometry().segment_at(place).filter(|segment| unverified.has(*segment))
    }

    /// Makes sure that the index can be asked about a hash, and that the records it may name are as they were written.
    pub(crate) fn ready(&mut self, load: &impl Load, which: Which, hash: u64) -> Result<(), Error> {
        // What is to be void is not asked about.
        if self.stage.is_clearing() {
            return Ok(());
        }
        loop {
            while let Err(missing) = self.catalog.index(which).ready(hash) {
                self.read_page(load, which, missing)?;
            }
            if self.unread.unverified.is_none() {
                return Ok(());
            }
            let found = self.catalog.index(which).find(hash, |place| self.unverified_at(place).is_some());
            match found {
                Some((_, place)) => self.verify_at(load, place)?,
                None => return Ok(()),
            }
        }
    }

    /// The same for a step of a scan.
    pub(crate) fn ready_to_scan(&mut self, load: &impl Load, cursor: u64) -> Result<(), Error> {
        loop {
            while let Err(missing) = self.catalog.keys().ready_to_scan(cursor) {
                self.read_page(load, Which::Keys, missing)?;
            }
            let mut found = None;
            if self.unread.unverified.is_some() {
                self.catalog.keys().scan(cursor, |place| found = self.unverified_at(place).map(|_| place).or(found));
            }
            match found {
                Some(place) => self.verify_at(load, place)?,
                None => return Ok(()),
            }
        }
    }

    /// The place of an entry chosen by `seed`; its record is as it was written.
    pub(crate) fn ready_random(&mut self, load: &impl Load, seed: u64) -> Result<Option<u64>, Error> {
        loop {
            match self.catalog.keys().random(seed) {
                Err(missing) => self.read_page(load, Which::Keys, missing)?,
                Ok(Some(place)) if self.unverified_at(place).is_some() => self.verify_at(load, place)?,
                Ok(place) => return Ok(place),
            }
        }
    }

    /// Verifies the segment in which `place` is, if that was not done before.
    fn verify_at(&mut self, load: &impl Load, place: u64) -> Result<(), Error> {
        let Some(segment) = self.unverified_at(place) else { return Ok(()) };
        let Some(mut walk) = self.walk_of(load, segment)? else { return self.read_log(load, None) };
        self.verify(load, segment, &mut walk, u32::MAX).map(drop)
    }

    /// A walk of a segment from its beginning. `None` if its header is not as it was.
    fn walk_of(&self, load: &impl Load, segment: u32) -> Result<Option<Walk>, Error> {
        let uuid = &self.superblock.uuid;
        let known = self.space.segment(segment).generation;
        Ok(match Header::read(load, uuid, self.geometry(), segment, self.media.bad())? {
            HeaderPair::Readable { header, .. } if header.state == State::Used && header.generation == known => {
                Some(Walk::new(uuid, self.geometry(), &header, self.media.bad()))
            }
            _ => None,
        })
    }

    fn verify(&mut self, load: &impl Load, segment: u32, walk: &mut Walk, budget: u32) -> Result<Progress, Error> {
        let Some(unverified) = &self.unread.unverified else { return Ok(Progress::Whole) };
        let progress = unverified.walk_on(load, segment, walk, budget)?;
        match progress {
            Progress::Whole => self.set_verified(segment),
            Progress::Damaged => self.read_log(load, None)?,
            Progress::Unfinished => {}
        }
        Ok(progress)
    }

    /// Verifies on for about `budget` bytes. Says whether there is more to verify.
    pub(crate) fn verify_on(&mut self, load: &impl Load, budget: u32) -> Result<bool, Error> {
        let Some(unverified) = &mut self.unread.unverified else { return Ok(false) };
        let begun = unverified.take_walk();
        let (segment, walk) = match begun {
            Some((segment, walk)) => (segment, Some(walk)),
            None => {
                let next = unverified.first();
                (next, self.walk_of(load, next)?)
            }
        };
        match walk {
            None => self.read_log(load, None)?,
            Some(mut walk) => {
                let progress = self.verify(load, segment, &mut walk, budget)?;
                if let (Progress::Unfinished, Some(unverified)) = (progress, &mut self.unread.unverified) {
                    unverified.keep_walk(segment, walk);
                }
            }
        }
        Ok(self.unread.unverified.is_some())
    }
}
