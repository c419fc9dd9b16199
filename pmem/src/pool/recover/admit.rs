//! Which operations count: of all on a key, the newest one; of chunks, those of a value that counts.

use alloc::vec::Vec;

use super::Gathered;
use crate::error::Error;
use crate::medium::Load;
use crate::pool::dram::{self, NoRoom};
use crate::pool::index::Index;
use crate::pool::log::{self, Log};
use crate::pool::record::{Kind, Large};
use crate::pool::report::DamageKind;
use crate::pool::scan::{FoundOp, More, Part, Scanned};

impl Log {
    /// Takes over what the scan of a segment found, and leaves only how the segment ended.
    pub(super) fn merge(
        &mut self,
        load: &impl Load,
        scanned: &mut Scanned,
        part: Part,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        if part.is_first() {
            self.report.records += scanned.records;
            self.report.passed_over += scanned.passed_over;
            self.report.bytes_scanned += scanned.bytes;
        }
        gathered.last_batch = gathered.last_batch.max(scanned.last_batch);
        self.frontier.reach_sequence(scanned.next_sequence);
        let mut more = core::mem::take(&mut scanned.more).into_iter();
        for op in core::mem::take(&mut scanned.ops) {
            let more = if matches!(op.kind, Kind::PutLarge | Kind::Lost) { more.next() } else { None };
            self.admit(load, &op, more, gathered)?;
            gathered.ops += 1;
        }
        Ok(())
    }

    /// Puts a valid operation into the index, unless a newer one on its key is there; a removal among those that are
    /// gathered.
    pub(super) fn admit(
        &mut self,
        load: &impl Load,
        op: &FoundOp,
        more: Option<More>,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let FoundOp { hash, place, sequence, cost, kind, expires_at_ms } = *op;
        let is_put = matches!(kind, Kind::Put | Kind::PutLarge);
        self.space.note_length(cost);
        if let Some(More::Lost(lost)) = more {
            self.space.count_removal(place, cost);
            return Ok(dram::push(&mut gathered.lost, (sequence, lost))?);
        }
        let old = self.find_other(load, op, gathered);
        if kind == Kind::Remove {
            self.space.count_removal(place, cost);
        }
        if let Some(old) = &old {
            // Equal numbers are an original and its copy; the copy lies in the younger segment.
            let age = |sequence, place| {
                let segment = self.geometry().segment_at(place).unwrap_or(0);
                (sequence, self.space.segment(segment).generation)
            };
            if age(old.header.sequence, old.place) >= age(sequence, place) {
                if is_put {
                    self.shadows.add(self.shadows.counter(hash));
                }
                return Ok(());
            }
            if old.header.is_put() {
                self.space.count_dead(old.place, old.header.cost());
                self.discount_expiry(old.header.expires_at_ms);
                self.shadows.add(self.shadows.counter(hash));
            }
        }
        self.reserve_in_recovery(kind, gathered)?;
        match &old {
            Some(old) if (old.header.kind == Kind::Remove) == (kind == Kind::Remove) => {
                self.index_of(kind, gathered).replace(old.slot, place);
            }
            old => {
                if let Some(old) = old {
                    self.index_of(old.header.kind, gathered).remove(hash, old.slot);
                }
                self.index_of(kind, gathered).insert(hash, place);
            }
        }
        if is_put {
            self.space.count_live(place, cost);
            self.count_expiry(expires_at_ms);
        }
        if let Some(More::Large(large)) = more {
            self.frontier.reach_sequence(large.object.saturating_add(1));
            dram::push(&mut gathered.larges, (hash, place, cost, large))?;
        }
        Ok(())
    }

    /// The index in which recovery keeps operations of this kind.
    fn index_of<'a>(&'a mut self, kind: Kind, gathered: &'a mut Gathered) -> &'a mut Index {
        match kind {
            Kind::Chunk => &mut self.chunks,
            Kind::Remove => &mut gathered.removed,
            _ => &mut self.keys,
        }
    }

    /// Makes sure that one more operation can enter its index. What fitted while the pool was used fits now, if with
    /// other chains.
    fn reserve_in_recovery(&mut self, kind: Kind, gathered: &mut Gathered) -> Result<(), NoRoom> {
        let limit = self.memory_limit.saturating_add(self.memory_limit / 8);
        let room = limit.saturating_sub(self.dram() + gathered.removed.bytes());
        self.index_of(kind, gathered).reserve(1, room)
    }

    /// Finds the operation that is known of the key of `op`. Most keys have none of their hash, and are not looked at.
    fn find_other(&self, load: &impl Load, op: &FoundOp, gathered: &Gathered) -> Option<log::Found> {
        let indices = match op.kind {
            Kind::Chunk => [Some(&self.chunks), None],
            _ => [Some(&self.keys), Some(&gathered.removed)],
        };
        let known = |index: &&Index| index.find(op.hash, |_| true).is_some();
        let mut indices = indices.into_iter().flatten().filter(known).peekable();
        indices.peek()?;
        let header = self.peek(load, op.place, 0).ok()??.header;
        let mut key = Vec::new();
        self.append(load, op.place + header.key_at() as u64, header.key_len, &mut key).ok()?;
        indices.find_map(|index| self.find_in(index, load, op.hash, &key).ok().flatten())
    }

    /// Takes chunks out of the index again whose value is not there any more.
    pub(super) fn finish(&mut self, load: &impl Load, larges: Vec<(u64, u64, u64, Large)>) -> Result<(), Error> {
        let mut kept = Index::new()?;
        for (hash, place, cost, large) in larges {
            if self.keys.find_place(hash, place).is_none() {
                continue;
            }
            if !self.keep_chunks(load, &large, &mut kept)? {
                self.note_damage(DamageKind::Value, place, cost);
            }
        }
        self.chunks = kept;
        Ok(())
    }

    /// Moves the chunks of a value that counts to `kept`. `false`, and nothing moved, if one is missing or in its place
    /// is an older one.
    fn keep_chunks(&mut self, load: &impl Load, large: &Large, kept: &mut Index) -> Result<bool, Error> {
        let mut ahead = 0u32;
        let mut chunks = Vec::new();
        for chunk in 0..large.chunks() {
            let key = large.chunk_key(chunk);
            let Some(found) = self.find_chunk(load, &key)? else { return Ok(false) };
            ahead = ahead.wrapping_add(large.ahead_by(chunk, found.header.sequence));
            dram::push(&mut chunks, (self.hash(&key), found.place, found.header.cost()))?;
        }
        if ahead != large.ahead {
            return Ok(false);
        }
        for (hash, place, cost) in chunks {
            let Some(slot) = self.chunks.find_place(hash, place) else { continue };
            self.chunks.remove(hash, slot);
            kept.reserve(1, u64::MAX)?;
            kept.insert(hash, place);
            self.space.count_live(place, cost);
        }
        Ok(true)
    }
}
