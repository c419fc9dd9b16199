//! The catalog: which operations on the medium count, found by the hashes of their keys, and what has to be known of
//! those that count no more.
//!
//! It always describes what is durable: staged operations enter after the fence that makes them so, and by then there
//! must be room for them. Nothing here reads or writes the medium.

use alloc::collections::BTreeSet;

use siphasher::sip::SipHasher13;

use crate::pool::dram::NoRoom;
use crate::pool::expiring::Expiring;
use crate::pool::index::{Index, Page, Slot};
use crate::pool::shadow_counts::{Counts, ShadowCounts};

/// Which of the two indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Keys,
    /// The chunks of large values.
    Chunks,
}

/// How many entries each index keeps room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub keys: usize,
    pub chunks: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Catalog {
    hasher: SipHasher13,
    keys: Index,
    chunks: Index,
    shadows: ShadowCounts,
    /// The places of live operations that lie in bad ranges, in whole or in part.
    lost: BTreeSet<u64>,
    /// Keys with an expiry, if that is known.
    expiring: Option<Expiring>,
    /// The most DRAM that all may take that grows with the pool and its keys, in bytes.
    memory_limit: u64,
}

impl Catalog {
    /// That of a pool with nothing in it, on a medium of `len` bytes.
    pub(crate) fn new(uuid: &[u8; 16], len: u64) -> Result<Catalog, NoRoom> {
        Ok(Catalog {
            // A secret per pool: a client cannot aim at one bucket.
            hasher: SipHasher13::new_with_key(uuid),
            keys: Index::new()?,
            chunks: Index::new()?,
            shadows: ShadowCounts::new(len)?,
            lost: BTreeSet::new(),
            expiring: Some(Expiring::default()),
            memory_limit: u64::MAX,
        })
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    pub(crate) fn hasher(&self) -> SipHasher13 {
        self.hasher
    }

    pub(crate) fn keys(&self) -> &Index {
        &self.keys
    }

    pub(crate) fn chunks(&self) -> &Index {
        &self.chunks
    }

    pub(crate) fn index(&self, which: Which) -> &Index {
        match which {
            Which::Keys => &self.keys,
            Which::Chunks => &self.chunks,
        }
    }

    fn index_mut(&mut self, which: Which) -> &mut Index {
        match which {
            Which::Keys => &mut self.keys,
            Which::Chunks => &mut self.chunks,
        }
    }

    /// How many superseded puts are still on the medium.
    pub(crate) fn shadows(&self) -> &ShadowCounts {
        &self.shadows
    }

    /// Keys with an expiry, if that is known.
    pub(crate) fn expiring(&self) -> Option<Expiring> {
        self.expiring
    }

    /// How many keys are lost: their live operations lie in bad ranges.
    pub(crate) fn lost_count(&self) -> u64 {
        self.lost.len() as u64
    }

    /// DRAM that the two indices take, in bytes.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.keys.bytes() + self.chunks.bytes()
    }

    /// DRAM that the indices and counters take, in bytes.
    pub(crate) fn dram(&self) -> u64 {
        self.index_bytes() + self.shadows.bytes()
    }

    /// The most DRAM that all may take that grows with the pool and its keys, in bytes.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// The same in recovery: what fitted while the pool was used fits now, if with other chains.
    pub(crate) fn memory_limit_in_recovery(&self) -> u64 {
        self.memory_limit.saturating_add(self.memory_limit / 8)
    }

    /// Sets the most DRAM, in bytes, beyond which an index takes no more entries.
    pub(crate) fn limit_memory(&mut self, bytes: u64) {
        self.memory_limit = bytes;
    }

    /// Makes sure that so many entries can enter an index, within `room` bytes of DRAM more.
    pub(crate) fn reserve(&mut self, which: Which, inserts: usize, room: u64) -> Result<(), NoRoom> {
        self.index_mut(which).reserve(inserts, room)
    }

    /// Keeps no room for anything.
    pub(crate) fn unreserve(&mut self) {
        self.keys.unreserve();
        self.chunks.unreserve();
    }

    /// Lets an index say that an operation lies at `place`: in the place of the entry `over`, or in one for which there
    /// is room.
    pub(crate) fn enter(&mut self, which: Which, hash: u64, over: Option<Slot>, place: u64) {
        match over {
            Some(slot) => self.index_mut(which).replace(slot, place),
            None => self.index_mut(which).insert(hash, place),
        }
    }

    /// Takes an entry out of an index.
    pub(crate) fn remove(&mut self, which: Which, hash: u64, slot: Slot) {
        self.index_mut(which).remove(hash, slot);
    }

    /// Whether the operation at `place` is the one that counts.
    pub(crate) fn is_live(&self, which: Which, hash: u64, place: u64) -> bool {
        self.index(which).find_place(hash, place).is_some()
    }

    /// Notes that a key has got a value, which expires then, if at all.
    pub(crate) fn count_value(&mut self, expires_at_ms: Option<u64>) {
        if let Some(expiring) = &mut self.expiring {
            expiring.add(expires_at_ms);
        }
    }

    /// Notes that a key no longer has a value that would expire then, if at all.
    pub(crate) fn discount_value(&mut self, expires_at_ms: Option<u64>) {
        if let Some(expiring) = &mut self.expiring {
            expiring.remove(expires_at_ms);
        }
    }

    /// Notes that a put counts no more, but is on the medium still.
    pub(crate) fn count_shadow(&mut self, hash: u64) {
        self.shadows.add(self.shadows.counter(hash));
    }

    /// Notes that the medium has so many superseded puts no more.
    pub(crate) fn discount_shadows(&mut self, dropped: &Counts) {
        for (counter, count) in dropped.iter() {
            self.shadows.subtract(counter, count);
        }
    }

    /// Notes that superseded puts may be more than were counted: no removal may be dropped until the next opening
    /// counts anew.
    pub(crate) fn doubt_shadows(&mut self) {
        self.shadows.doubt();
    }

    /// Notes that the live operation at `place`, on a key of this hash, cannot be read.
    pub(crate) fn mark_lost(&mut self, hash: u64, place: u64) {
        debug_assert!(self.is_live(Which::Keys, hash, place), "what lies at {place:#x} does not count");
        self.lost.insert(place);
    }

    /// Notes that what lies at `place` counts no more. Says whether it was lost.
    pub(crate) fn unmark_lost(&mut self, place: u64) -> bool {
        self.lost.remove(&place)
    }

    /// What it takes to [`Self::clear`], which must not fail.
    pub(crate) fn pages_to_clear(&self) -> Result<(Page, Page), NoRoom> {
        Ok((self.keys.page_to_clear()?, self.chunks.page_to_clear()?))
    }

    /// Forgets everything, and keeps room for so many entries.
    pub(crate) fn clear(&mut self, room: Room, pages: (Page, Page)) {
        self.keys.clear(room.keys, pages.0);
        self.chunks.clear(room.chunks, pages.1);
        self.shadows.clear();
        self.lost.clear();
        self.expiring = Some(Expiring::default());
    }

    /// Takes over what a checkpoint says; the pages of the indices are still to be read. Returns how much DRAM the
    /// indices will take, in bytes.
    pub(crate) fn take_checkpoint(&mut self, keys: Index, chunks: Index, expiring: Option<Expiring>) -> u64 {
        (self.keys, self.chunks, self.expiring) = (keys, chunks, expiring);
        self.keys.bytes_when_read() + self.chunks.bytes_when_read()
    }

    /// Takes over a page of an index. `false` if it is none.
    pub(crate) fn take_page(&mut self, which: Which, page: u32, bytes: &[u8], limit: u64) -> Result<bool, NoRoom> {
        self.index_mut(which).decode_page(page, bytes, limit)
    }

    /// Takes over a part of the counts of superseded puts. `false` if it is none.
    pub(crate) fn take_shadows(&mut self, part: u32, bytes: &[u8]) -> bool {
        self.shadows.decode(part, bytes)
    }

    /// Gives the DRAM of both indices back; their pages are to be read again.
    pub(crate) fn forget_pages(&mut self) {
        self.keys.forget();
        self.chunks.forget();
    }

    /// Takes over what a scan of all records has found. The room that was kept is kept, and doubts about what was
    /// counted stay.
    pub(crate) fn take_scanned(&mut self, mut scanned: Catalog) -> Result<(), NoRoom> {
        scanned.keys.reserve_again(self.keys.reserved())?;
        scanned.chunks.reserve_again(self.chunks.reserved())?;
        (self.keys, self.chunks) = (scanned.keys, scanned.chunks);
        (self.lost, self.expiring) = (scanned.lost, scanned.expiring);
        self.shadows.take_scanned(scanned.shadows);
        Ok(())
    }

    /// Lets only these chunks count.
    pub(crate) fn keep_chunks(&mut self, kept: Index) {
        self.chunks = kept;
    }

    /// Whether this one, read from a checkpoint, says what the other one says that the records tell.
    pub(crate) fn agrees_with(&self, other: &Catalog) -> bool {
        (self.keys.len(), self.chunks.len()) == (other.keys.len(), other.chunks.len())
            && self.expiring.is_none_or(|counted| Some(counted) == other.expiring)
            && self.shadows == other.shadows
            && self.keys.is_within(&other.keys)
            && self.chunks.is_within(&other.chunks)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Catalog, Room, Which};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn keys_with_an_expiry_and_lost_ones_are_among_the_keys(
            steps in proptest::collection::vec((0..16u64, 0..6u8, any::<bool>()), 0..200),
        ) {
            let mut catalog = Catalog::new(&[7; 16], 1 << 20).unwrap();
            let mut known: BTreeMap<u64, (u64, Option<u64>)> = BTreeMap::new();
            let mut shadows = [0; 16];
            for (number, (key, step, expires)) in (1..).zip(steps) {
                let (hash, place) = (catalog.hash(&[key as u8]), number * 64);
                let old = known.get(&key).copied();
                let slot = old.and_then(|(place, _)| catalog.keys().find_place(hash, place));
                prop_assert_eq!(slot.is_some(), old.is_some());
                match (step, old.zip(slot)) {
                    (0..3, replaced) => {
                        let at = expires.then_some(number);
                        catalog.reserve(Which::Keys, 1, u64::MAX).unwrap();
                        catalog.enter(Which::Keys, hash, slot, place);
                        if let Some(((before, expired), _)) = replaced {
                            catalog.unmark_lost(before);
                            catalog.discount_value(expired);
                            catalog.count_shadow(hash);
                            shadows[key as usize] += 1;
                        }
                        catalog.count_value(at);
                        known.insert(key, (place, at));
                    }
                    (3, Some(((before, expired), slot))) => {
                        catalog.remove(Which::Keys, hash, slot);
                        catalog.unmark_lost(before);
                        catalog.discount_value(expired);
                        known.remove(&key);
                    }
                    (4, Some(((before, _), _))) => catalog.mark_lost(hash, before),
                    (5, _) if number % 64 == 0 => {
                        let pages = catalog.pages_to_clear().unwrap();
                        catalog.clear(Room::default(), pages);
                        known.clear();
                        shadows = [0; 16];
                    }
                    _ => {}
                }
                prop_assert_eq!(catalog.keys().len(), known.len() as u64);
                let expiring = known.values().filter(|(_, at)| at.is_some()).count() as u64;
                prop_assert_eq!(catalog.expiring().unwrap().keys, expiring);
                let live = |lost: &&u64| known.values().any(|(place, _)| place == *lost);
                prop_assert_eq!(catalog.lost.iter().filter(live).count() as u64, catalog.lost_count());
                for (key, superseded) in (0..).zip(&shadows) {
                    let counter = catalog.shadows().counter(catalog.hash(&[key]));
                    prop_assert!(catalog.shadows().count(counter) >= *superseded);
                }
            }
        }
    }
}
