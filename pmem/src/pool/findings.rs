//! The report of an opening, as it is put together by recovery, and the damage that is met from then on.

use alloc::vec::Vec;
use core::ops::Range;

use crate::pool::dram;
use crate::pool::report::{Checkpoint, Damage, DamageKind, OpenReport, Tail};

/// The most places of damage that are told apart.
const MOST: usize = 64 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Findings {
    report: OpenReport,
}

impl Findings {
    /// Those of a pool of so many segments in which nothing is amiss.
    pub(crate) fn new(segments: u32) -> Findings {
        Findings { report: OpenReport { segments, ..OpenReport::default() } }
    }

    pub(crate) fn report(&self) -> &OpenReport {
        &self.report
    }

    pub(crate) fn into_report(self) -> OpenReport {
        self.report
    }

    /// What is not as it was written.
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.report.damage
    }

    /// The places of damage of one kind.
    pub(crate) fn damage_of(&self, kind: DamageKind) -> impl Iterator<Item = &Damage> {
        self.report.damage.iter().filter(move |damage| damage.kind == kind)
    }

    /// Notes damage. Where the list gets too long for what it says, its last place of this kind takes the new one in:
    /// more is named than is damaged, nothing is kept back.
    pub(crate) fn note(&mut self, kind: DamageKind, offset: u64, len: u64) {
        let list = &mut self.report.damage;
        if list.len() < MOST && dram::push(list, Damage { kind, offset, len }).is_ok() {
            return;
        }
        if let Some(last) = list.iter_mut().rfind(|damage| damage.kind == kind) {
            let end = (last.offset + last.len).max(offset + len);
            last.offset = last.offset.min(offset);
            last.len = end - last.offset;
        } else if let Some(last) = list.last_mut() {
            *last = Damage { kind, offset, len };
        }
    }

    /// Adds damage that others found.
    pub(crate) fn extend(&mut self, damage: impl IntoIterator<Item = Damage>) {
        self.report.damage.extend(damage);
    }

    /// Puts the damage in the order of the medium.
    pub(crate) fn sort(&mut self) {
        self.report.damage.sort_by_key(|damage| damage.offset);
    }

    /// Forgets the damage, which was repaired, and returns it.
    pub(crate) fn take_damage(&mut self) -> Vec<Damage> {
        core::mem::take(&mut self.report.damage)
    }

    /// Says what the medium cannot read.
    pub(crate) fn set_bad_ranges(&mut self, bad: Vec<Range<u64>>) {
        self.report.bad_ranges = bad;
    }

    /// Says how many bytes of the medium lie behind the pool's end.
    pub(crate) fn set_unused(&mut self, bytes: u64) {
        self.report.unused_bytes = bytes;
    }

    /// Says how many segments hold records.
    pub(crate) fn set_segments_used(&mut self, segments: usize) {
        self.report.segments_used = segments as u32;
    }

    /// Counts records that were read and checked, and those of their operations that were passed over.
    pub(crate) fn count_scanned(&mut self, records: u64, passed_over: u64, bytes: u64) {
        self.report.records += records;
        self.report.passed_over += passed_over;
        self.report.bytes_scanned += bytes;
    }

    /// Says what became of the checkpoint.
    pub(crate) fn set_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.report.checkpoint = checkpoint;
    }

    /// Says how many keys the pool holds.
    pub(crate) fn set_keys(&mut self, keys: u64) {
        self.report.keys = keys;
    }

    /// Says how the log ended, and how many keys are lost.
    pub(crate) fn set_end(&mut self, tail: Tail, lost_keys: u64) {
        (self.report.tail, self.report.lost_keys) = (tail, lost_keys);
    }
}

#[cfg(test)]
mod tests {
    use super::{Findings, MOST};
    use crate::pool::report::{Damage, DamageKind};

    #[test]
    fn damage_beyond_what_the_list_holds_is_named_too() {
        let mut findings = Findings::new(1);
        findings.note(DamageKind::Value, 8, 8);
        for place in 1..MOST as u64 {
            findings.note(DamageKind::Records, place * 64, 64);
        }
        let end = MOST as u64 * 64;
        findings.note(DamageKind::Records, end + 640, 64);
        findings.note(DamageKind::Value, 4, 2);
        assert_eq!(findings.damage().len(), MOST);
        let widened = Damage { kind: DamageKind::Records, offset: end - 64, len: 64 + 640 + 64 };
        assert_eq!(findings.damage_of(DamageKind::Records).last(), Some(&widened));
        assert_eq!(findings.damage()[0], Damage { kind: DamageKind::Value, offset: 4, len: 12 });
        findings.note(DamageKind::Media, 5, 6);
        assert_eq!(findings.damage().last(), Some(&Damage { kind: DamageKind::Media, offset: 5, len: 6 }));
    }
}
