//! Whether every segment is of the use that the newest header speaks of.

use alloc::vec::Vec;

use super::Repairs;
use crate::error::Error;
use crate::medium::Store;
use crate::pool::dram::{self, NoRoom};
use crate::pool::log::Log;
use crate::pool::report::DamageKind;
use crate::pool::segment::{Header, State};
use crate::pool::sums::Sums;

/// What the headers tell of all segments' generations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The highest generation, and the sums that its header has.
    newest: (u64, Sums),
    /// A segment has no readable header: what its generation was is not known.
    unknown: bool,
}

impl Told {
    pub(super) fn note(&mut self, header: &Header) {
        if header.generation > self.newest.0 {
            self.newest = (header.generation, header.sums);
        }
    }

    pub(super) fn note_unknown(&mut self) {
        self.unknown = true;
    }
}

impl Log {
    /// Compares the generations of all segments with what the newest header tells, where no checkpoint told more. A
    /// segment that is as it was in an earlier use is set aside, and taken out of those that are `used`.
    pub(super) fn judge_generations(
        &mut self,
        told: Told,
        used: &mut Vec<Header>,
        repairs: &mut Repairs,
    ) -> Result<(), NoRoom> {
        let (generation, sums) = told.newest;
        if told.unknown || !sums.is_told() || sums == self.sums {
            return Ok(());
        }
        match self.sums.find_outdated(sums, generation, &self.catalog.hasher(), self.space.segments()) {
            Some(segment) => {
                let mut outdated = Vec::new();
                dram::push(&mut outdated, segment)?;
                self.set_outdated_aside(&outdated, used);
                repairs.leave_alone(outdated);
            }
            None => {
                let (first, len) = (self.geometry().first_segment, u64::from(self.geometry().segment_size));
                self.note_damage(DamageKind::OutdatedSomewhere, first, len * u64::from(self.geometry().segments));
                // Headers to come tell the same difference, until a repair puts up with it.
                self.sums = sums;
            }
        }
        Ok(())
    }

    /// Takes the generations for true that there are, on request, and tells them by a new header.
    pub(crate) fn accept_generations(&mut self, store: &impl Store) -> Result<(), Error> {
        let found = Sums::of(&self.catalog.hasher(), self.space.segments());
        if found == self.sums {
            return Ok(());
        }
        if let Some(head) = self.frontier.head() {
            self.seal(store, head.at)?;
        }
        let told = core::mem::replace(&mut self.sums, found);
        let opened = self.open_segment(store, State::Used, 0);
        if opened.is_err() {
            self.sums = told;
        }
        opened
    }
}
