//! Which operations count: of all on a key, the newest one; of chunks, those of a value that counts.

use alloc::vec::Vec;

use super::Gathered;
use crate::error::Error;
use crate::medium::Load;
use crate::pool::catalog::Which;
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
            self.findings.count_scanned(scanned.records, scanned.passed_over, scanned.bytes);
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
                    self.catalog.count_shadow(hash);
                }
                return Ok(());
            }
            if old.header.is_put() {
                self.space.count_dead(old.place, old.header.cost());
                self.catalog.discount_value(old.header.expires_at_ms);
                self.catalog.count_shadow(hash);
            }
        }
        self.reserve_in_recovery(kind, gathered)?;
        let over = match old {
            Some(old) if (old.header.kind == Kind::Remove) == (kind == Kind::Remove) => Some(old.slot),
            Some(old) => {
                match index_of(old.header.kind) {
                    Some(which) => self.catalog.remove(which, hash, old.slot),
                    None => gathered.removed.remove(hash, old.slot),
                }
                None
            }
            None => None,
        };
        match (index_of(kind), over) {
            (Some(which), over) => self.catalog.enter(which, hash, over, place),
            (None, Some(slot)) => gathered.removed.replace(slot, place),
            (None, None) => gathered.removed.insert(hash, place),
        }
        if is_put {
            self.space.count_live(place, cost);
            self.catalog.count_value(expires_at_ms);
        }
        if let Some(More::Large(large)) = more {
            self.frontier.reach_sequence(large.object.saturating_add(1));
            dram::push(&mut gathered.larges, (hash, place, cost, large))?;
        }
        Ok(())
    }

    /// Makes sure that one more operation can enter its index.
    fn reserve_in_recovery(&mut self, kind: Kind, gathered: &mut Gathered) -> Result<(), NoRoom> {
        let limit = self.catalog.memory_limit_in_recovery();
        let room = limit.saturating_sub(self.dram() + gathered.removed.bytes());
        match index_of(kind) {
            Some(which) => self.catalog.reserve(which, 1, room),
            None => gathered.removed.reserve(1, room),
        }
    }

    /// Finds the operation that is known of the key of `op`. Most keys have none of their hash, and are not looked at.
    fn find_other(&self, load: &impl Load, op: &FoundOp, gathered: &Gathered) -> Option<log::Found> {
        let indices = match op.kind {
            Kind::Chunk => [Some(self.catalog.chunks()), None],
            _ => [Some(self.catalog.keys()), Some(&gathered.removed)],
        };
        let known = |index: &&Index| index.find(op.hash, |_| true).is_some();
        let mut indices = indices.into_iter().flatten().filter(known).peekable();
        indices.peek()?;
        let header = self.header_at(load, op.place).ok()??;
        let mut key = Vec::new();
        self.append(load, op.place + header.key_at() as u64, header.key_len, &mut key).ok()?;
        let mut window = log::Window::for_key(&key);
        indices.find_map(|index| self.find_in(index, load, op.hash, &key, &mut window).ok().flatten())
    }

    /// Takes chunks out of the index again whose value is not there any more.
    pub(super) fn finish(&mut self, load: &impl Load, larges: Vec<(u64, u64, u64, Large)>) -> Result<(), Error> {
        let mut kept = Index::new()?;
        for (hash, place, cost, large) in larges {
            if !self.catalog.is_live(Which::Keys, hash, place) {
                continue;
            }
            if !self.keep_chunks(load, &large, &mut kept)? {
                self.note_damage(DamageKind::Value, place, cost);
            }
        }
        self.catalog.keep_chunks(kept);
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
            let Some(slot) = self.catalog.chunks().find_place(hash, place) else { continue };
            self.catalog.remove(Which::Chunks, hash, slot);
            kept.reserve(1, u64::MAX)?;
            kept.insert(hash, place);
            self.space.count_live(place, cost);
        }
        Ok(true)
    }
}

/// The index in which an operation of this kind counts. `None`: among the removals that are gathered.
fn index_of(kind: Kind) -> Option<Which> {
    match kind {
        Kind::Chunk => Some(Which::Chunks),
        Kind::Remove => None,
        _ => Some(Which::Keys),
    }
}
