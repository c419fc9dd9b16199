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

mod overflow;
mod pages;
mod resize;
mod scan;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub(crate) use pages::{Missing, page_len};
pub(crate) use scan::{covered_in_smallest, cursor_behind};

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

    #[inline(always)]
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
    // Plain loops: as a chain of iterators it took three times the instructions.
    pub(crate) fn find(&self, hash: u64, mut accept: impl FnMut(u64) -> bool) -> Option<(Slot, u64)> {
        let hash = short(hash);
        let may_be = |entry: &u64| tag_of(*entry) == hash >> 8 && *entry != 0;
        let mut bucket = BucketRef::Main(self.home(hash));
        loop {
            let mut rest = &self.bucket(bucket)[..SLOTS];
            while let Some(position) = rest.iter().position(may_be) {
                let (slot, place) = (SLOTS - rest.len() + position, place_of(rest[position]));
                if accept(place) {
                    return Some((Slot { bucket, slot }, place));
                }
                rest = &rest[position + 1..];
            }
            bucket = self.next(bucket)?;
        }
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
