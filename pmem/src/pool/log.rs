//! The log's state in DRAM: what is where, what is free, and what comes next.
//!
//! Nothing here decides when bytes become durable; that is `append`'s. The index and the segment table always describe
//! what is durable: staged operations enter them after the fence that makes them so.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{Load, LoadError};
use crate::pool::catalog::{Catalog, Which};
use crate::pool::checkpoint::Unread;
use crate::pool::cleaning::Cleaner;
use crate::pool::dram::{self, NoRoom};
use crate::pool::findings::Findings;
use crate::pool::frontier::Frontier;
use crate::pool::index::{Index, Slot};
use crate::pool::media::Media;
use crate::pool::record::{CHUNK_KEY, FRAME_HEADER, Kind, LARGE, Large, OP_HEADER, OpHeader};
use crate::pool::report::DamageKind;
use crate::pool::shadow_counts::ShadowCounts;
use crate::pool::space::Space;
use crate::pool::stage::Stage;
use crate::pool::sums::Sums;
use crate::pool::superblock::{Geometry, Superblock};
use crate::pool::totals::Totals;

/// How much of an operation one look at it copies at most. The header and most keys fit, and small values.
pub(crate) const PEEK: usize = 128;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Log {
    pub superblock: Superblock,
    pub catalog: Catalog,
    pub space: Space,
    pub frontier: Frontier,
    /// What the next header adds its own use to.
    pub sums: Sums,
    pub stage: Stage,
    pub cleaning: Cleaner,
    pub unread: Unread,
    pub findings: Findings,
    pub media: Media,
    pub totals: Totals,
}

/// The first bytes of an operation, where they are copied to.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: [u8; PEEK],
    want: usize,
    len: usize,
}

impl Window {
    /// One for a look at so many bytes, if so many fit and can be read; at a header at least.
    pub(crate) fn new(want: usize) -> Window {
        Window { bytes: [0; PEEK], want: want.clamp(OP_HEADER + 8, PEEK), len: 0 }
    }

    /// One for the header of an operation on `key`, and the key.
    pub(crate) fn for_key(key: &[u8]) -> Window {
        Self::new(OP_HEADER + 8 + key.len())
    }

    /// What the last look has copied.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A key's live operation on the medium.
#[derive(Debug)]
pub(crate) struct Found {
    pub slot: Slot,
    /// Where the operation begins, in bytes from the medium's start.
    pub place: u64,
    pub header: OpHeader,
}

impl Log {
    /// The state of a pool with nothing in it.
    pub(crate) fn new(superblock: Superblock, media: Media) -> Result<Log, NoRoom> {
        let geometry = superblock.geometry;
        Ok(Log {
            catalog: Catalog::new(&superblock.uuid, geometry.len)?,
            space: Space::new(geometry)?,
            frontier: Frontier::new(geometry.batch_limit(), superblock.version > 1),
            sums: Sums::default(),
            stage: Stage::default(),
            cleaning: Cleaner::default(),
            unread: Unread::default(),
            findings: Findings::new(geometry.segments),
            media,
            totals: Totals::default(),
            superblock,
        })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.superblock.geometry
    }

    /// The generation sums when a segment gets this generation.
    pub(crate) fn sums_with(&self, index: u32, generation: u64) -> Sums {
        self.sums.after(&self.catalog.hasher(), index, self.space.segment(index).generation, generation)
    }

    /// The sums as a header of this pool tells them: version 1 has none.
    pub(crate) fn told(&self, sums: Sums) -> Sums {
        if self.superblock.version == 1 { Sums::default() } else { sums }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.catalog.hash(key)
    }

    /// DRAM that a pool takes without keys, in bytes: its counters and its table of segments.
    pub(crate) fn least_dram(geometry: &Geometry) -> u64 {
        ShadowCounts::counters(geometry.len) as u64 + Space::dram(geometry)
    }

    /// DRAM that everything takes that grows with the pool and its keys, in bytes.
    pub(crate) fn dram(&self) -> u64 {
        self.catalog.dram() + self.space.bytes()
    }

    /// Makes sure that so many keys can enter the index.
    pub(crate) fn reserve_keys(&mut self, inserts: usize) -> Result<(), NoRoom> {
        self.reserve(Which::Keys, inserts)
    }

    /// Makes sure that so many chunks can enter the index.
    pub(crate) fn reserve_chunks(&mut self, inserts: usize) -> Result<(), NoRoom> {
        self.reserve(Which::Chunks, inserts)
    }

    #[inline]
    fn reserve(&mut self, which: Which, inserts: usize) -> Result<(), NoRoom> {
        match inserts <= self.catalog.index(which).reserved() {
            true => Ok(()),
            false => self.reserve_more(which, inserts),
        }
    }

    #[cold]
    fn reserve_more(&mut self, which: Which, inserts: usize) -> Result<(), NoRoom> {
        /// For so many insertions at once, if that is possible: to reckon what there is takes longer than an insertion.
        const AT_ONCE: usize = 64;
        let room = self.catalog.memory_limit().saturating_sub(self.dram());
        let ahead = self.catalog.reserve(which, inserts.next_multiple_of(AT_ONCE), room);
        ahead.or_else(|NoRoom| self.catalog.reserve(which, inserts, room))
    }

    /// Where batches end at most, in bytes from a segment's start.
    pub(crate) fn batch_limit(&self) -> u32 {
        self.geometry().batch_limit()
    }

    /// The longest frame, in bytes.
    pub(crate) fn frame_limit(&self) -> usize {
        (self.geometry().segment_size / 2) as usize
    }

    /// The longest key, in bytes.
    pub(crate) fn key_limit(&self) -> usize {
        (self.geometry().segment_size as usize / 8).min(usize::from(u16::MAX))
    }

    /// Values longer than this lie in chunks of this length. In bytes.
    pub(crate) fn chunk_size(&self) -> usize {
        (self.geometry().segment_size as usize / 16).min(32 << 10)
    }

    /// The header of the operation at `place`. `None` if there is none that lies within its segment, or its header
    /// cannot be read.
    pub(crate) fn header_at(&self, load: &impl Load, place: u64) -> Result<Option<OpHeader>, Error> {
        self.peek(load, place, &mut Window::new(0))
    }

    /// As [`Self::header_at`], with the operation's first bytes in `window`.
    // Inlined, as `OpHeader::decode` is, so that the header is not moved from result to result.
    #[inline(always)]
    pub(crate) fn peek(&self, load: &impl Load, place: u64, window: &mut Window) -> Result<Option<OpHeader>, Error> {
        let geometry = self.geometry();
        let Some(segment) = geometry.segment_at(place) else { return Ok(None) };
        let end = geometry.start_of(segment) + u64::from(geometry.segment_size);
        let mut want = (window.want as u64).min(end - place) as usize;
        loop {
            match self.media.bad().load(load, place, &mut window.bytes[..want]) {
                Ok(()) => break,
                // What can be read before it may be all of the operation.
                Err(LoadError::Unreadable(bad)) if bad.start > place => want = (bad.start - place) as usize,
                Err(LoadError::Unreadable(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        window.len = want;
        Ok(OpHeader::decode(window.bytes()).filter(|header| place + header.len() as u64 <= end))
    }

    /// Whether a bad range covers any byte of an operation.
    pub(crate) fn is_hit(&self, place: u64, header: &OpHeader) -> bool {
        self.media.bad().within(&(place..place + header.len() as u64)).is_some()
    }

    /// Finds the operation of a key that `index` holds. Its first bytes are in `window` then.
    pub(crate) fn find_in(
        &self,
        index: &Index,
        load: &impl Load,
        hash: u64,
        key: &[u8],
        window: &mut Window,
    ) -> Result<Option<Found>, Error> {
        let mut found = None;
        let mut failed = None;
        let hit = index.find(hash, |place| {
            match self.match_at(load, place, key, window) {
                Ok(header) => found = header,
                // Another entry may still be the one.
                Err(error) => failed = Some(error),
            }
            found.is_some()
        });
        match (hit, found, failed) {
            (Some((slot, place)), Some(header), _) => Ok(Some(Found { slot, place, header })),
            (_, _, Some(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// The header of the operation at `place`, if it is on `key`. [`Error::Damaged`] names the place if that cannot be
    /// read.
    fn match_at(
        &self,
        load: &impl Load,
        place: u64,
        key: &[u8],
        window: &mut Window,
    ) -> Result<Option<OpHeader>, Error> {
        let damaged = Error::Damaged { offset: place };
        let Some(header) = self.peek(load, place, window)? else { return Err(damaged) };
        if header.key_len != key.len() {
            return Ok(None);
        }
        let at = header.key_at();
        let same = match window.bytes().get(at..at + key.len()) {
            Some(found) => found == key,
            None => {
                let range = place + at as u64..place + (at + key.len()) as u64;
                if self.media.bad().within(&range).is_some() {
                    return Err(damaged);
                }
                match load.view(range)?.equals(key) {
                    Err(LoadError::Unreadable(_)) => return Err(damaged),
                    same => same?,
                }
            }
        };
        Ok(same.then_some(header))
    }

    /// Finds a key's live operation.
    pub(crate) fn find(&self, load: &impl Load, hash: u64, key: &[u8]) -> Result<Option<Found>, Error> {
        self.find_in(self.catalog.keys(), load, hash, key, &mut Window::for_key(key))
    }

    /// Finds a chunk of a large value.
    pub(crate) fn find_chunk(&self, load: &impl Load, key: &[u8; CHUNK_KEY]) -> Result<Option<Found>, Error> {
        self.find_in(self.catalog.chunks(), load, self.hash(key), key, &mut Window::for_key(key))
    }

    /// Appends bytes of the value of the operation found, which lies in it, to `out`: at most `len`, from byte `from`
    /// on. `window` has the operation's first bytes.
    pub(crate) fn read_value(
        &self,
        load: &impl Load,
        found: &Found,
        window: &Window,
        from: u64,
        len: u64,
        out: &mut Vec<u8>,
    ) -> Result<u64, Error> {
        let total = found.header.value_len as u64;
        let from = from.min(total);
        let bytes = len.min(total - from) as usize;
        let at = found.header.value_at() + from as usize;
        match window.bytes().get(at..at + bytes) {
            Some(value) => dram::append(out, value)?,
            None => self.append(load, found.place + at as u64, bytes, out)?,
        }
        Ok(total)
    }

    /// Appends bytes of a large value, chunks that are staged among them. `place` is what an error names, if a chunk is
    /// not there.
    pub(crate) fn read_large(
        &self,
        load: &impl Load,
        place: u64,
        large: &Large,
        from: u64,
        len: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let end = from.saturating_add(len).min(large.len);
        let mut at = from;
        while at < end {
            let chunk = (at / u64::from(large.chunk_size)) as u32;
            let within = at - u64::from(chunk) * u64::from(large.chunk_size);
            let bytes = (large.chunk_len(chunk) - within).min(end - at);
            let key = large.chunk_key(chunk);
            if let Some((_, value)) = self.stage.latest_chunk(self.hash(&key), &key) {
                let part = value.get(within as usize..(within + bytes) as usize);
                out.extend_from_slice(part.ok_or(Error::Damaged { offset: place })?);
            } else {
                let found = self.find_chunk(load, &key)?;
                let whole = found.filter(|found| found.header.value_len as u64 == large.chunk_len(chunk));
                let found = whole.ok_or(Error::Damaged { offset: place })?;
                self.append(load, found.place + found.header.value_at() as u64 + within, bytes as usize, out)?;
            }
            at += bytes;
        }
        Ok(())
    }

    /// Appends bytes of the medium to `out`.
    pub(crate) fn append(&self, load: &impl Load, place: u64, bytes: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        dram::resize(out, start + bytes)?;
        if let Err(error) = self.media.bad().load(load, place, &mut out[start..]) {
            out.truncate(start);
            return Err(error.into());
        }
        Ok(())
    }

    /// What a [`Kind::PutLarge`] operation says.
    pub(crate) fn large(&self, load: &impl Load, found: &Found) -> Result<Large, Error> {
        let mut bytes = [0; LARGE];
        self.media.bad().load(load, found.place + found.header.value_at() as u64, &mut bytes)?;
        Large::decode(&bytes).ok_or(Error::Damaged { offset: found.place })
    }

    /// What all of a key's live operations take, its chunks among them, in bytes.
    pub(crate) fn cost_of(&self, load: &impl Load, found: &Found) -> Result<u64, Error> {
        match found.header.kind {
            Kind::PutLarge => Ok(found.header.cost() + large_cost(&self.large(load, found)?)),
            _ => Ok(found.header.cost()),
        }
    }

    /// Notes damage found.
    pub(crate) fn note_damage(&mut self, kind: DamageKind, offset: u64, len: u64) {
        self.findings.note(kind, offset, len);
    }
}

/// What the chunks of a large value take, in bytes.
pub(crate) fn large_cost(large: &Large) -> u64 {
    let overhead = (FRAME_HEADER + OP_HEADER + CHUNK_KEY) as u64;
    let chunk = |len: u64| (overhead + len).next_multiple_of(8);
    match large.chunks() {
        0 => 0,
        chunks => u64::from(chunks - 1) * chunk(u64::from(large.chunk_size)) + chunk(large.chunk_len(chunks - 1)),
    }
}
