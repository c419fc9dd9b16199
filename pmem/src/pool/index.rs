//! The index in DRAM: from a key's hash to the places on the medium where such a key may be.
//!
//! A linear hash table: it grows and shrinks by one bucket at a time, so no operation ever waits for a rehash. A bucket
//! is one cache line: seven entries and a link to an overflow bucket. An entry is eight bytes: 24 bits of the hash and
//! the place in units of eight bytes. The low eight bits of the hash are those of the bucket's number (there are never
//! fewer than 256 buckets), so an entry tells 32 bits of its hash, and a bucket splits without reading a key.
//!
//! The index never touches the medium: callers compare keys.
//!
//! It takes DRAM only where that can fail: [`Index::reserve`] provides for insertions before they are begun, so an
//! operation that is durable always finds its room. Where there is no DRAM for another page the table does not grow,
//! and its chains do; taking entries out never needs any.

mod pages;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

pub(crate) use pages::{Missing, page_len};

use crate::pool::dram::{NoRoom, filled, push};

/// Entries per bucket; the eighth word links to the next bucket of the chain.
const SLOTS: usize = 7;
/// Buckets per page of the table, and the least number of buckets.
const PAGE: usize = 256;
/// log2 of [`PAGE`].
const LEAST_LEVEL: u32 = 8;
/// The table stops growing at this many hash bits.
const MOST_LEVEL: u32 = 31;
/// The table splits a bucket when there are more than this many entries for two buckets, and merges two when there are
/// fewer than [`SPARSE`].
const DENSE: u64 = 9;
/// See [`DENSE`].
const SPARSE: u64 = 2;
/// Buckets that one operation splits or merges at most: one keeps up, another one catches up.
const RESIZES: u32 = 2;
/// Bits of an entry that hold its place.
const PLACE_BITS: u32 = 40;

/// Bytes of a page.
const PAGE_BYTES: u64 = (PAGE * size_of::<Bucket>()) as u64;

type Bucket = [u64; SLOTS + 1];
pub(crate) type Page = Box<[Bucket]>;

/// One entry's position in the table. Valid until the table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    bucket: BucketRef,
    slot: usize,
}

/// A bucket of the table itself or of the overflow area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BucketRef {
    Main(usize),
    Overflow(usize),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Index {
    /// Those that are still to be filled from a checkpoint have no buckets.
    pages: Vec<Page>,
    /// How many pages are still to be filled. The table neither grows nor shrinks in the meantime, and catches up
    /// later.
    missing: usize,
    /// Overflow buckets, in pages too: growing never copies them.
    overflow: Vec<Page>,
    /// How many overflow buckets were ever used.
    overflow_len: usize,
    /// The first of the overflow buckets that no chain uses any more, as a link; each links to the next one.
    spare: u64,
    /// How many those are.
    spare_len: usize,
    /// How many insertions were reserved and are not done yet. At least so many overflow buckets are free; whoever else
    /// takes one leaves them alone.
    reserved: usize,
    /// The most DRAM that splitting buckets may take from now on, in bytes.
    room: u64,
    /// Buckets below `split` and from `1 << level` on are of this round of splitting, the others of the last.
    level: u32,
    split: usize,
    len: u64,
}

/// The bits of a hash that the index uses.
fn short(hash: u64) -> u32 {
    hash as u32
}

fn entry(hash: u32, place: u64) -> u64 {
    debug_assert!(place.is_multiple_of(8) && place != 0 && place >> 3 < 1 << PLACE_BITS);
    u64::from(hash >> 8) << PLACE_BITS | place >> 3
}

fn place_of(entry: u64) -> u64 {
    (entry & ((1 << PLACE_BITS) - 1)) << 3
}

fn tag_of(entry: u64) -> u32 {
    (entry >> PLACE_BITS) as u32
}

impl Index {
    /// An empty table.
    pub(crate) fn new() -> Result<Index, NoRoom> {
        let mut index = Index::without_pages();
        push_page(&mut index.pages)?;
        Ok(index)
    }

    fn without_pages() -> Index {
        Index {
            pages: Vec::new(),
            missing: 0,
            overflow: Vec::new(),
            overflow_len: 0,
            spare: 0,
            spare_len: 0,
            reserved: 0,
            room: u64::MAX,
            level: LEAST_LEVEL,
            split: 0,
            len: 0,
        }
    }

    /// What [`Self::clear`] needs if the first page is still to be read; else nothing.
    pub(crate) fn page_to_clear(&self) -> Result<Page, NoRoom> {
        if self.is_missing(0) { new_page() } else { Ok(Page::default()) }
    }

    /// Takes all entries out, and provides for `inserts` insertions, which are reserved. `page` is of
    /// [`Self::page_to_clear`].
    pub(crate) fn clear(&mut self, inserts: usize, page: Page) {
        if !page.is_empty() {
            self.pages[0] = page;
        }
        self.pages.truncate(1);
        self.pages.shrink_to_fit();
        self.overflow.truncate(inserts.div_ceil(PAGE));
        self.overflow.shrink_to_fit();
        self.pages.iter_mut().for_each(|page| page.fill([0; SLOTS + 1]));
        let pages = core::mem::take(&mut self.pages);
        let overflow = core::mem::take(&mut self.overflow);
        *self = Index { pages, overflow, reserved: inserts, room: self.room, ..Index::without_pages() };
    }

    /// Makes sure that `inserts` insertions need no more DRAM, if `room` bytes of it may be taken. What is left of them
    /// is for the table's growth. What was reserved before is among them.
    pub(crate) fn reserve(&mut self, inserts: usize, room: u64) -> Result<(), NoRoom> {
        self.room = self.provide(inserts, room)?;
        self.reserved = inserts;
        Ok(())
    }

    /// How many insertions are reserved and not done yet.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Reserves what was reserved in the table that this one takes the place of, whatever room there is.
    pub(crate) fn reserve_again(&mut self, inserts: usize) -> Result<(), NoRoom> {
        self.provide(inserts, u64::MAX)?;
        self.reserved = inserts;
        Ok(())
    }

    /// Notes that the insertions that are reserved will not come.
    pub(crate) fn unreserve(&mut self) {
        self.reserved = 0;
    }

    /// Makes sure that so many overflow buckets are free. Returns how much of `room` is left.
    fn provide(&mut self, buckets: usize, mut room: u64) -> Result<u64, NoRoom> {
        while self.free_overflow() < buckets {
            room = room.checked_sub(PAGE_BYTES).ok_or(NoRoom)?;
            push_page(&mut self.overflow)?;
        }
        Ok(room)
    }

    /// How many overflow buckets no chain uses.
    fn free_overflow(&self) -> usize {
        self.overflow.len() * PAGE - self.overflow_len + self.spare_len
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// DRAM that the index takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let buckets = (self.pages.len() + self.overflow.len()) * PAGE;
        let pages = self.pages.capacity() + self.overflow.capacity();
        (buckets * size_of::<Bucket>() + pages * size_of::<Page>()) as u64
    }

    fn buckets(&self) -> usize {
        (1 << self.level) + self.split
    }

    fn home(&self, hash: u32) -> usize {
        let bucket = hash as usize & ((1 << self.level) - 1);
        if bucket < self.split { hash as usize & ((2 << self.level) - 1) } else { bucket }
    }

    fn bucket(&self, at: BucketRef) -> &Bucket {
        match at {
            BucketRef::Main(bucket) => &self.pages[bucket / PAGE][bucket % PAGE],
            BucketRef::Overflow(bucket) => &self.overflow[bucket / PAGE][bucket % PAGE],
        }
    }

    fn bucket_mut(&mut self, at: BucketRef) -> &mut Bucket {
        match at {
            BucketRef::Main(bucket) => &mut self.pages[bucket / PAGE][bucket % PAGE],
            BucketRef::Overflow(bucket) => &mut self.overflow[bucket / PAGE][bucket % PAGE],
        }
    }

    fn next(&self, at: BucketRef) -> Option<BucketRef> {
        (self.bucket(at)[SLOTS] as usize).checked_sub(1).map(BucketRef::Overflow)
    }

    /// The entries that may be of a key with this hash.
    fn candidates(&self, hash: u32) -> impl Iterator<Item = (Slot, u64)> {
        let tag = hash >> 8;
        self.slots(BucketRef::Main(self.home(hash)))
            .filter(move |(_, entry)| tag_of(*entry) == tag)
            .map(|(slot, entry)| (slot, place_of(entry)))
    }

    /// All entries of a chain.
    fn slots(&self, first: BucketRef) -> impl Iterator<Item = (Slot, u64)> {
        core::iter::successors(Some(first), |at| self.next(*at)).flat_map(move |at| {
            self.bucket(at)[..SLOTS]
                .iter()
                .enumerate()
                .filter(|(_, entry)| **entry != 0)
                .map(move |(slot, entry)| (Slot { bucket: at, slot }, *entry))
        })
    }

    /// The first entry of this hash whose place `accept` takes.
    pub(crate) fn find(&self, hash: u64, mut accept: impl FnMut(u64) -> bool) -> Option<(Slot, u64)> {
        self.candidates(short(hash)).find(|(_, place)| accept(*place))
    }

    /// Visits every entry: the low 32 bits of its hash, and its place.
    pub(crate) fn each(&self, mut visit: impl FnMut(u64, u64)) {
        for bucket in 0..self.buckets() {
            for (_, entry) in self.slots(BucketRef::Main(bucket)) {
                visit(u64::from(tag_of(entry) << 8 | bucket as u32 & 0xFF), place_of(entry));
            }
        }
    }

    /// The entry of this hash and this place.
    pub(crate) fn find_place(&self, hash: u64, place: u64) -> Option<Slot> {
        self.find(hash, |candidate| candidate == place).map(|(slot, _)| slot)
    }

    /// Gives an entry another place.
    pub(crate) fn replace(&mut self, slot: Slot, place: u64) {
        let old = &mut self.bucket_mut(slot.bucket)[slot.slot];
        *old = entry(tag_of(*old) << 8, place);
    }

    /// Adds an entry. Room for it was reserved.
    pub(crate) fn insert(&mut self, hash: u64, place: u64) {
        let hash = short(hash);
        self.reserved = self.reserved.saturating_sub(1);
        self.add(self.home(hash), entry(hash, place));
        self.len += 1;
        for _ in 0..RESIZES {
            if self.missing == 0 && self.len * 2 > self.buckets() as u64 * DENSE && self.level < MOST_LEVEL {
                // With longer chains it is as good.
                let _ = self.split_one();
            }
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, slot: Slot) {
        let mut before = None;
        let mut last = BucketRef::Main(self.home(short(hash)));
        while let Some(next) = self.next(last) {
            before = Some(last);
            last = next;
        }
        // The chain's last entry fills the hole, so chains stay dense and their ends come free.
        let end = self.bucket(last)[..SLOTS].iter().rposition(|entry| *entry != 0).unwrap_or(slot.slot);
        let moved = core::mem::take(&mut self.bucket_mut(last)[end]);
        if (Slot { bucket: last, slot: end }) != slot {
            self.bucket_mut(slot.bucket)[slot.slot] = moved;
        }
        if let (BucketRef::Overflow(bucket), Some(before), 0) = (last, before, end) {
            self.bucket_mut(before)[SLOTS] = 0;
            self.set_spare(bucket);
        }
        // A checkpoint may have lied about it.
        self.len = self.len.saturating_sub(1);
        for _ in 0..RESIZES {
            if self.missing == 0 && self.len * 2 < self.buckets() as u64 * SPARSE && self.buckets() > PAGE {
                // A table that stays larger is as good.
                let _ = self.merge_one();
            }
        }
        self.give_back_overflow();
    }

    /// Gives the overflow area's DRAM back when no chain needs any of it, but for a page and for what is reserved.
    fn give_back_overflow(&mut self) {
        let pages = self.reserved.div_ceil(PAGE).max(1);
        if self.spare_len < self.overflow_len || self.overflow.len() <= pages {
            return;
        }
        self.room = self.room.saturating_add((self.overflow.len() - pages) as u64 * PAGE_BYTES);
        self.overflow.truncate(pages);
        (self.overflow_len, self.spare, self.spare_len) = (0, 0, 0);
    }

    /// Puts an entry into a bucket's chain.
    fn add(&mut self, bucket: usize, entry: u64) {
        let mut at = BucketRef::Main(bucket);
        loop {
            if let Some(free) = self.bucket_mut(at)[..SLOTS].iter_mut().find(|entry| **entry == 0) {
                *free = entry;
                return;
            }
            match self.next(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        let mut fresh = [0; SLOTS + 1];
        fresh[0] = entry;
        let bucket = self.take_overflow();
        *self.bucket_mut(BucketRef::Overflow(bucket)) = fresh;
        self.bucket_mut(at)[SLOTS] = bucket as u64 + 1;
    }

    /// An overflow bucket that no chain uses. There is one: it was provided. If it was not, what is durable has to
    /// enter the table all the same, and takes DRAM where that cannot fail.
    fn take_overflow(&mut self) -> usize {
        if let Some(bucket) = (self.spare as usize).checked_sub(1) {
            self.spare = self.bucket(BucketRef::Overflow(bucket))[SLOTS];
            self.spare_len -= 1;
            return bucket;
        }
        if self.free_overflow() == 0 {
            self.overflow.push(alloc::vec![[0; SLOTS + 1]; PAGE].into_boxed_slice());
        }
        self.overflow_len += 1;
        self.overflow_len - 1
    }

    /// Notes that no chain uses an overflow bucket any more.
    fn set_spare(&mut self, bucket: usize) {
        let next = self.spare;
        *self.bucket_mut(BucketRef::Overflow(bucket)) = [0, 0, 0, 0, 0, 0, 0, next];
        self.spare = bucket as u64 + 1;
        self.spare_len += 1;
    }

    /// Empties a bucket's chain, and calls `each` with the index and every entry.
    fn drain(&mut self, bucket: usize, mut each: impl FnMut(&mut Index, u64)) {
        let mut at = BucketRef::Main(bucket);
        loop {
            let taken = core::mem::take(self.bucket_mut(at));
            if let BucketRef::Overflow(overflow) = at {
                self.set_spare(overflow);
            }
            for entry in taken[..SLOTS].iter().filter(|entry| **entry != 0) {
                each(self, *entry);
            }
            match taken[SLOTS] {
                0 => return,
                next => at = BucketRef::Overflow(next as usize - 1),
            }
        }
    }

    /// Splits a bucket. Its chain gives at least as many overflow buckets as the two chains take.
    fn split_one(&mut self) -> Result<(), NoRoom> {
        let (from, to) = (self.split, self.buckets());
        if to.is_multiple_of(PAGE) {
            self.room = self.room.checked_sub(PAGE_BYTES).ok_or(NoRoom)?;
            push_page(&mut self.pages)?;
        }
        let bit = 1 << self.level;
        // The chain is emptied from its beginning, so what stays takes no place that is still to be looked at.
        self.drain(from, |index, entry| {
            let hash = tag_of(entry) << 8 | from as u32 & 0xFF;
            index.add(if hash & bit == 0 { from } else { to }, entry);
        });
        self.split += 1;
        if self.split == 1 << self.level {
            self.level += 1;
            self.split = 0;
        }
        Ok(())
    }

    /// Merges two buckets, for which one overflow bucket is enough.
    fn merge_one(&mut self) -> Result<(), NoRoom> {
        self.room = self.provide(self.reserved + 1, self.room)?;
        if self.split == 0 {
            self.level -= 1;
            self.split = 1 << self.level;
        }
        self.split -= 1;
        let from = self.buckets();
        let to = self.split;
        self.drain(from, |index, entry| index.add(to, entry));
        if from.is_multiple_of(PAGE) {
            self.pages.pop();
            self.room = self.room.saturating_add(PAGE_BYTES);
        }
        Ok(())
    }

    /// Visits the entries that one step of a scan covers, and returns the next cursor, 0 at the end.
    ///
    /// The cursor counts with its bits reversed, so that what a smaller table's bucket held is found in the buckets
    /// that it split into, whenever it splits or merges: every entry that stays from a scan's begin to its end is
    /// visited.
    pub(crate) fn scan(&self, cursor: u64, mut visit: impl FnMut(u64)) -> u64 {
        let mask = (1u64 << self.level) - 1;
        let bucket = (cursor & mask) as usize;
        for (_, entry) in self.slots(BucketRef::Main(bucket)) {
            visit(place_of(entry));
        }
        if bucket < self.split {
            for (_, entry) in self.slots(BucketRef::Main(bucket + (1 << self.level))) {
                visit(place_of(entry));
            }
        }
        cursor_behind(&self.covered(cursor))
    }

    /// The hashes, with their bits reversed, whose entries one step of a scan covers. So counted, the steps of a scan
    /// follow one another without a gap, whatever the table's size is at each.
    pub(crate) fn covered(&self, cursor: u64) -> RangeInclusive<u64> {
        covered(self.level, cursor)
    }

    /// An entry's place, chosen by `seed`, about evenly over random seeds. `None` if there is no entry.
    pub(crate) fn random(&self, seed: u64) -> Result<Option<u64>, Missing> {
        if self.len == 0 {
            return Ok(None);
        }
        // Draw a bucket and a position in its chain, and draw again if there is no entry: a full bucket's entries are
        // not less likely than a sparse one's. Chains longer than `REACH` are too rare to matter.
        const REACH: u64 = 16;
        let mut state = seed;
        let mut bucket = 0;
        for _ in 0..256 {
            let draw = split_mix(&mut state);
            bucket = (draw / REACH % self.buckets() as u64) as usize;
            self.present(bucket)?;
            if let Some((_, entry)) = self.slots(BucketRef::Main(bucket)).nth((draw % REACH) as usize) {
                return Ok(Some(place_of(entry)));
            }
        }
        // A table that is nearly empty: the next entry from there.
        for bucket in (bucket..self.buckets()).chain(0..bucket) {
            self.present(bucket)?;
            if let Some((_, entry)) = self.slots(BucketRef::Main(bucket)).next() {
                return Ok(Some(place_of(entry)));
            }
        }
        Ok(None)
    }
}

fn covered(level: u32, cursor: u64) -> RangeInclusive<u64> {
    let rest = u64::MAX >> level;
    let first = cursor.reverse_bits() & !rest;
    first..=first | rest
}

/// As [`Index::covered`], for a table with nothing in it.
pub(crate) fn covered_in_smallest(cursor: u64) -> RangeInclusive<u64> {
    covered(LEAST_LEVEL, cursor)
}

/// The cursor of the step behind the one that covers these, 0 at the end.
pub(crate) fn cursor_behind(covered: &RangeInclusive<u64>) -> u64 {
    covered.end().wrapping_add(1).reverse_bits()
}

/// A page of empty buckets.
fn new_page() -> Result<Page, NoRoom> {
    Ok(filled(PAGE, [0; SLOTS + 1])?.into_boxed_slice())
}

/// Adds a page of empty buckets.
fn push_page(pages: &mut Vec<Page>) -> Result<(), NoRoom> {
    push(pages, new_page()?)
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{Index, PAGE_BYTES, SLOTS, split_mix};

    /// Hashes that collide a lot: few low bits, few tags.
    fn hash() -> impl Strategy<Value = u64> {
        prop_oneof![0..8u64, (0..40u64).prop_map(|high| high << 20), any::<u64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_map(ops in proptest::collection::vec((hash(), 1..200u64, 0..3u8), 0..if cfg!(miri) { 60 } else { 600 })) {
            let mut index = Index::new().unwrap();
            let mut model = BTreeMap::new();
            for (hash, number, op) in ops {
                // The place stands for the key.
                let place = number * 8;
                let known = model.get(&place).copied();
                match (known, op) {
                    (None, _) => {
                        index.reserve(1, u64::MAX).unwrap();
                        index.insert(hash, place);
                        model.insert(place, hash);
                    }
                    (Some(hash), 0) => {
                        let slot = index.find_place(hash, place).unwrap();
                        index.remove(hash, slot);
                        model.remove(&place);
                    }
                    (Some(hash), _) => {
                        let slot = index.find_place(hash, place).unwrap();
                        let moved = place + 8 * 1000 * u64::from(op);
                        if !model.contains_key(&moved) {
                            index.replace(slot, moved);
                            model.remove(&place);
                            model.insert(moved, hash);
                        }
                    }
                }
            }
            prop_assert_eq!(index.len(), model.len() as u64);
            for (place, hash) in &model {
                prop_assert!(index.find_place(*hash, *place).is_some());
            }
            let mut seen = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = index.scan(cursor, |place| { seen.insert(place); });
                if cursor == 0 { break }
            }
            prop_assert!(seen.iter().eq(model.keys()));
            prop_assert_eq!(index.random(7).unwrap().is_some(), !model.is_empty());
        }
    }

    #[test]
    fn grows_and_shrinks_by_buckets_and_stays_compact() {
        let mut index = Index::new().unwrap();
        let mut state = 1;
        let hashes: Vec<u64> = (0..200_000).map(|_| split_mix(&mut state)).collect();
        for (number, hash) in hashes.iter().enumerate() {
            index.reserve(1, u64::MAX).unwrap();
            index.insert(*hash, (number as u64 + 1) * 8);
            if number > 20_000 {
                let per_key = index.bytes() as f64 / index.len() as f64;
                assert!(per_key < 8.0 * (SLOTS + 1) as f64 / 4.5 + 6.0, "{per_key} bytes per key at {number}");
            }
        }
        for (number, hash) in hashes.iter().enumerate() {
            let slot = index.find_place(*hash, (number as u64 + 1) * 8).unwrap();
            index.remove(*hash, slot);
        }
        assert_eq!((index.len(), index.pages.len(), index.overflow.len()), (0, 1, 1));
        assert_eq!(index.spare_len, index.overflow_len);
    }

    #[test]
    fn without_room_chains_grow_in_place_of_the_table_until_nothing_can_be_reserved() {
        let mut index = Index::new().unwrap();
        let mut state = 3;
        let mut hashes = Vec::new();
        let limit = 40 * PAGE_BYTES;
        while index.reserve(1, limit.saturating_sub(index.bytes())).is_ok() {
            hashes.push(split_mix(&mut state));
            index.insert(hashes[hashes.len() - 1], hashes.len() as u64 * 8);
        }
        assert!(index.bytes() <= limit + PAGE_BYTES && index.bytes() > limit - PAGE_BYTES, "{}", index.bytes());
        assert!(index.bytes() / index.len() < 16, "{} entries in {} bytes", index.len(), index.bytes());
        let find = |index: &Index, number: usize| index.find_place(hashes[number], (number as u64 + 1) * 8);
        assert!((0..hashes.len()).all(|number| find(&index, number).is_some()));
        // Taking out needs no room, and makes some.
        index.room = 0;
        for (number, hash) in hashes.iter().enumerate() {
            let slot = find(&index, number).unwrap();
            index.remove(*hash, slot);
        }
        assert_eq!((index.len(), index.spare_len), (0, index.overflow_len));
        assert!(index.bytes() < 3 * PAGE_BYTES && index.reserve(1000, 4 * PAGE_BYTES).is_ok());
    }

    #[test]
    fn a_table_that_is_cleared_has_room_for_what_is_to_come() {
        let mut index = Index::new().unwrap();
        for number in 1..50_000u64 {
            index.reserve(1, u64::MAX).unwrap();
            index.insert(number << 8, number * 8);
        }
        index.reserve(1000, u64::MAX).unwrap();
        index.clear(1000, index.page_to_clear().unwrap());
        assert!((index.len(), index.pages.len(), index.overflow.len()) == (0, 1, 4) && index.bytes() < 6 * PAGE_BYTES);
        index.room = 0;
        (1..=1000).for_each(|number| index.insert(0, number * 8));
        assert!((1..=1000).all(|number| index.find_place(0, number * 8).is_some()));
    }
}
