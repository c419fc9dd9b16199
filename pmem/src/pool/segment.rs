//! Segments: the units in which a pool's medium is filled, cleaned and reused.
//!
//! Each has two equal headers, in its first and in its last line. The generation in them is different for every use of
//! any segment and salts the checksums of the segment's records, so that what a former use left behind is never taken
//! for a record.

use alloc::vec::Vec;

use crate::crc32c::Crc32c;
use crate::error::Error;
use crate::medium::{LINE, Load, LoadError, Store};
use crate::pool::bad_ranges::BadRanges;
use crate::pool::dram::{self, NoRoom};
use crate::pool::format::segment_header as field;
use crate::pool::record::{BATCH_LIMIT, SEQUENCE_LIMIT};
use crate::pool::sums::Sums;
use crate::pool::superblock::Geometry;

/// First word of a header while the segment holds records.
const USED: [u8; 8] = *b"HFSEGUSE";
/// First word of a header while the segment is free.
const FREE: [u8; 8] = *b"HFSEGFRE";
/// First word of a header while the segment holds a part of a checkpoint.
const CHECKPOINT: [u8; 8] = *b"HFSEGCKP";
/// First word of a header while the segment holds a part of a record.
const PART: [u8; 8] = *b"HFSEGPRT";
/// First word of a header that does not count any more, for the segment was found to be as it was earlier. It reads as
/// no header.
const OUTDATED: [u8; 8] = *b"HFSEGOLD";
/// Bytes of a header.
pub(crate) const HEADER: u32 = field::LEN as u32;
const _: () = assert!(field::LEN as u64 == LINE && field::STATE.at == 0, "one line, and its first word decides");
/// Bytes at a segment's end that records never take: a line for the record that ends the segment, and the second
/// header.
pub(crate) const TRAILER: u32 = 2 * LINE as u32;
/// How many segments are begun between two fences. Pools of usual size have fewer.
const FENCED_SEGMENTS: u32 = 1 << 12;
/// Generations from here on are taken for damage. Leaves room to count on for ever.
pub(crate) const GENERATION_LIMIT: u64 = 1 << 56;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the segment is in use for; never [`State::Quarantined`], which the medium does not tell.
    pub state: State,
    pub index: u32,
    /// Each batch in it begins with the link to those before; not so in version 1.
    pub chained: bool,
    /// Which use of a segment of this pool this is, counted over all of them.
    pub generation: u64,
    /// The next sequence number when the segment was opened.
    pub first_sequence: u64,
    /// The next batch number when the segment was opened. Records of the segment have this one or a later one.
    pub first_batch: u64,
    /// Operations up to this sequence number are void, wherever they lie: the pool was cleared after them.
    pub cleared_through: u64,
    /// Parts of this generation or a later one, up to this segment's own, count; 0 for none.
    pub joined_from: u64,
    /// What the generations of all segments add up to, this use among them. Zeros in version 1, and in a checkpoint's
    /// segments but for the last.
    pub sums: Sums,
}

/// The two headers of a segment, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderPair {
    /// Free, or holds something, as the header says. `odd` is the other one, if that is not equal.
    Readable { header: Header, odd: Option<Odd> },
    /// Neither header is readable.
    Damaged,
    /// A readable header says that this is another segment of the pool.
    Misplaced { index: u32 },
}

/// The header of a segment that is not equal to the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    pub place: u64,
    /// What it says, if it is readable.
    pub says: Option<Header>,
}

impl Header {
    /// The header of a segment that was never used.
    pub(crate) fn unused(index: u32) -> Header {
        Header {
            state: State::Free,
            index,
            chained: false,
            generation: 0,
            first_sequence: 0,
            first_batch: 0,
            cleared_through: 0,
            joined_from: 0,
            sums: Sums::default(),
        }
    }

    /// Whether eight bytes are how a header begins.
    pub(crate) fn looks_like_one(word: &[u8]) -> bool {
        [USED, FREE, CHECKPOINT, PART].iter().any(|state| word == state)
    }

    /// Whether something that looks like a header, of whichever pool, stands in any segment's first line.
    pub(crate) fn is_anywhere(load: &impl Load, geometry: &Geometry) -> Result<bool, Error> {
        for index in 0..geometry.segments {
            let mut word = [0; 8];
            match load.load(geometry.start_of(index), &mut word) {
                Ok(()) if Self::looks_like_one(&word) => return Ok(true),
                Ok(()) | Err(LoadError::Unreadable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    fn encode(&self, uuid: &[u8; 16]) -> [u8; LINE as usize] {
        let mut bytes = [0; LINE as usize];
        field::STATE.put(&mut bytes, *self.state_word());
        field::GENERATION.put(&mut bytes, self.generation.to_le_bytes());
        field::FIRST_SEQUENCE.put(&mut bytes, self.first_sequence.to_le_bytes());
        field::FIRST_BATCH.put(&mut bytes, self.first_batch.to_le_bytes());
        field::CLEARED_THROUGH.put(&mut bytes, self.cleared_through.to_le_bytes());
        let [a, b, c, _] = self.index.to_le_bytes();
        field::INDEX.put(&mut bytes, [a, b, c]);
        field::FORM.put(&mut bytes, [u8::from(self.chained)]);
        field::JOINED_FROM.put(&mut bytes, self.joined_from.to_le_bytes());
        field::SUMS.put(&mut bytes, self.sums.to_bytes());
        let checksum = Self::checksum(uuid, &bytes);
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    /// The checksum leaves out the first word, so that freeing a segment is one 8-byte store.
    fn checksum(uuid: &[u8; 16], bytes: &[u8; LINE as usize]) -> u32 {
        Crc32c::new().update(uuid).update(&bytes[field::STATE.end()..field::CHECKSUM.at]).value()
    }

    /// Reads a header, of whichever segment. `None` if it is none.
    fn decode(bytes: &[u8; LINE as usize], uuid: &[u8; 16]) -> Option<Header> {
        let state = match field::STATE.get(bytes) {
            USED => State::Used,
            FREE => State::Free,
            CHECKPOINT => State::Checkpoint,
            PART => State::Part,
            _ => return None,
        };
        let chained = match field::FORM.get(bytes) {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let [a, b, c] = field::INDEX.get(bytes);
        let header = Header {
            state,
            index: u32::from_le_bytes([a, b, c, 0]),
            chained,
            generation: field::GENERATION.u64(bytes),
            first_sequence: field::FIRST_SEQUENCE.u64(bytes),
            first_batch: field::FIRST_BATCH.u64(bytes),
            cleared_through: field::CLEARED_THROUGH.u64(bytes),
            joined_from: field::JOINED_FROM.u64(bytes),
            sums: Sums::from_bytes(field::SUMS.get(bytes)),
        };
        let sound = field::CHECKSUM.u32(bytes) == Self::checksum(uuid, bytes)
            && header.generation < GENERATION_LIMIT
            && header.first_sequence < SEQUENCE_LIMIT
            && header.cleared_through < SEQUENCE_LIMIT
            && header.first_batch < BATCH_LIMIT;
        sound.then_some(header)
    }

    /// The places of a segment's two headers.
    pub(crate) fn places(geometry: &Geometry, index: u32) -> [u64; 2] {
        let start = geometry.start_of(index);
        [start, start + u64::from(geometry.segment_size) - LINE]
    }

    /// Reads both headers of a segment.
    ///
    /// A crash leaves at most one of them unreadable, for the second one is written only after the first one is
    /// durable. So two unreadable ones are damage.
    pub(crate) fn read(
        load: &impl Load,
        uuid: &[u8; 16],
        geometry: &Geometry,
        index: u32,
        bad: &BadRanges,
    ) -> Result<HeaderPair, Error> {
        let places = Self::places(geometry, index);
        let mut headers = [None; 2];
        for (header, place) in headers.iter_mut().zip(places) {
            let mut bytes = [0; LINE as usize];
            *header = match bad.load(load, place, &mut bytes) {
                Ok(()) => Self::decode(&bytes, uuid),
                Err(LoadError::Unreadable(_)) => None,
                Err(error) => return Err(error.into()),
            };
        }
        let misplaced = headers.iter().flatten().map(|header| header.index).find(|other| *other != index);
        let headers = headers.map(|header| header.filter(|header| header.index == index));
        let [first, second] = headers;
        let (header, odd) = match (first, second) {
            (None, None) => return Ok(misplaced.map_or(HeaderPair::Damaged, |index| HeaderPair::Misplaced { index })),
            (Some(header), None) => (header, 1),
            (None, Some(header)) => (header, 0),
            (Some(first), Some(second)) if first == second => {
                return Ok(HeaderPair::Readable { header: first, odd: None });
            }
            (Some(first), Some(second)) if second.generation > first.generation => (second, 0),
            (Some(first), Some(second)) if first.generation > second.generation => (first, 1),
            // The first one is opened and freed first.
            (Some(first), Some(_)) => (first, 1),
        };
        Ok(HeaderPair::Readable { header, odd: Some(Odd { place: places[odd], says: headers[odd] }) })
    }

    /// Writes both headers of each segment from `first` on, none of which was ever used, and starts writing them back.
    /// `progress` is told now and then how many bytes of segments are made.
    pub(crate) fn write_unused(
        store: &impl Store,
        uuid: &[u8; 16],
        geometry: &Geometry,
        first: u32,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        for index in first..geometry.segments {
            for place in Self::places(geometry, index) {
                Self::unused(index).write_at(store, uuid, place)?;
            }
            // Small batches: who looks on sees that it goes on, and on the host a fence is where the time goes.
            if (index + 1).is_multiple_of(FENCED_SEGMENTS) {
                store.fence();
                progress(u64::from(index + 1) * u64::from(geometry.segment_size));
            }
        }
        Ok(())
    }

    /// Writes one of the headers and starts writing it back.
    pub(crate) fn write_at(&self, store: &impl Store, uuid: &[u8; 16], place: u64) -> Result<(), Error> {
        store.store(place, &self.encode(uuid))?;
        store.write_back(place..place + LINE)?;
        Ok(())
    }

    /// Writes only what the segment is in use for, in one piece, and starts writing it back.
    pub(crate) fn write_state(&self, store: &impl Store, place: u64) -> Result<(), Error> {
        store.store(place, self.state_word())?;
        store.write_back(place..place + LINE)?;
        Ok(())
    }

    /// Makes what is at a header's place no header, in one piece, and starts writing it back.
    pub(crate) fn write_outdated(store: &impl Store, place: u64) -> Result<(), Error> {
        store.store(place, &OUTDATED)?;
        store.write_back(place..place + LINE)?;
        Ok(())
    }

    fn state_word(&self) -> &'static [u8; 8] {
        match self.state {
            State::Free => &FREE,
            State::Used | State::Quarantined => &USED,
            State::Checkpoint => &CHECKPOINT,
            State::Part => &PART,
        }
    }
}

/// The parts that segments in use have joined.
#[derive(Debug)]
pub(crate) struct Joined {
    /// From which generation on a segment has joined parts, and up to which one it or any before it in this list has;
    /// in order. So one look tells of any generation, however many segments a forged image has of either kind.
    from_and_below: Vec<(u64, u64)>,
}

impl Joined {
    /// What is joined by segments that hold records.
    pub(crate) fn by<'a>(used: impl Iterator<Item = &'a Header>) -> Result<Joined, NoRoom> {
        let mut from_and_below = Vec::new();
        for header in used.filter(|header| header.joined_from != 0) {
            dram::push(&mut from_and_below, (header.joined_from, header.generation))?;
        }
        from_and_below.sort_unstable();
        let mut furthest = 0;
        for (_, below) in &mut from_and_below {
            furthest = furthest.max(*below);
            *below = furthest;
        }
        Ok(Joined { from_and_below })
    }

    /// Whether a part of this generation counts.
    pub(crate) fn has(&self, generation: u64) -> bool {
        let begun = self.from_and_below.partition_point(|(from, _)| *from <= generation);
        self.from_and_below[..begun].last().is_some_and(|(_, below)| generation < *below)
    }
}

/// What the pool knows of a segment, in DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub state: State,
    pub generation: u64,
    /// Bytes of live puts and chunks, each with a frame header of its own.
    pub live: u64,
    /// Bytes of removals, likewise, needed still or not.
    pub removals: u64,
}

impl Segment {
    /// One that was never used.
    pub(crate) const UNUSED: Segment = Segment { state: State::Free, generation: 0, live: 0, removals: 0 };
}

/// What a segment is in use for. The numbers are those that a checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Free = 0,
    /// Records.
    Used = 1,
    /// A part of a checkpoint.
    Checkpoint = 2,
    /// Records, some of which are damaged: never cleaned, so that nothing more is lost and the evidence stays.
    Quarantined = 3,
    /// A part of a record that is not complete yet.
    Part = 4,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Header, Joined, State};

    /// Overlapping, empty and backward ones are forged; each is taken by its word.
    #[test]
    fn a_part_is_joined_if_any_segment_in_use_joins_it() {
        let pairs = [(0, 9), (3, 6), (4, 5), (4, 9), (12, 12), (15, 13), (20, 22), (21, 30), (40, 41)];
        let joining =
            |(joined_from, generation)| Header { state: State::Used, joined_from, generation, ..Header::unused(0) };
        let used: Vec<Header> = pairs.iter().rev().copied().map(joining).collect();
        let joined = Joined::by(used.iter()).unwrap();
        for part in 0..50 {
            let expected = pairs.iter().any(|(from, generation)| *from != 0 && (*from..*generation).contains(&part));
            assert_eq!(joined.has(part), expected, "generation {part}");
        }
        assert!(!Joined::by([].iter()).unwrap().has(1));
    }
}
