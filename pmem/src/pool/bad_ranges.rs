//! The list of bad ranges: which bytes of the medium are unreadable, remembered in the pool itself.
//!
//! No firmware that we can ask keeps such a list, so the pool keeps one of its own, in two copies. A copy is written
//! and fenced before the other one is touched, so a power cut leaves the old list or the new one.

use alloc::vec::Vec;
use core::ops::Range;

use crate::crc32c::Crc32c;
use crate::error::Error;
use crate::medium::{Load, LoadError, Store};
use crate::pool::format::bad_ranges as field;

/// First eight bytes of a copy.
const MAGIC: [u8; 8] = *b"HFBADRNG";
/// Where the two copies lie, and where the second one ends.
const COPIES: [u64; 2] = [8 << 10, 12 << 10];
pub(crate) const AREA: Range<u64> = 8 << 10..16 << 10;
/// Bytes of a copy.
const COPY: usize = 4096;
/// Bytes before the first range.
const HEADER: usize = field::LEN;
/// Bytes of a range.
const ENTRY: usize = 16;
/// The most ranges that the list holds.
const MOST: usize = (COPY - HEADER) / ENTRY;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadRanges {
    /// In order, and none touches another.
    ranges: Vec<Range<u64>>,
    /// How often the list was written.
    number: u64,
}

/// One of the two copies, as found.
enum Copy {
    /// Zeros, as formatting left them, or a list.
    List(BadRanges),
    Unreadable,
}

impl BadRanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.ranges.iter()
    }

    /// The ranges, in order.
    pub(crate) fn to_vec(&self) -> Vec<Range<u64>> {
        self.ranges.clone()
    }

    /// The first bad part of a range.
    pub(crate) fn within(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let first = self.ranges.partition_point(|bad| bad.end <= range.start);
        let bad = self.ranges.get(first)?;
        (bad.start < range.end && !range.is_empty()).then(|| bad.start.max(range.start)..bad.end.min(range.end))
    }

    /// Adds a range, joined with those that it touches. Says whether a byte of it is news. Where the list would get too
    /// long, ranges that lie close together become one: more is given up than is bad, nothing is forgotten.
    pub(crate) fn add(&mut self, range: &Range<u64>) -> bool {
        if range.is_empty() || self.ranges.iter().any(|bad| bad.start <= range.start && range.end <= bad.end) {
            return false;
        }
        self.ranges.push(range.clone());
        self.ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        while joined.len() > MOST {
            let gap = |position: usize| joined[position + 1].start - joined[position].end;
            let closest = (0..joined.len() - 1).min_by_key(|position| gap(*position)).unwrap_or(0);
            joined[closest].end = joined.remove(closest + 1).end;
        }
        self.ranges = joined;
        true
    }

    /// Loads bytes, unless one of them is bad.
    pub(crate) fn load(&self, load: &impl Load, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        match self.within(&(offset..offset + into.len() as u64)) {
            Some(bad) => Err(LoadError::Unreadable(bad)),
            None => load.load(offset, into),
        }
    }

    /// Loads all bytes that can be read, and ones in place of the others: no record is valid with them.
    pub(crate) fn load_readable(&self, load: &impl Load, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        let mut at = 0;
        while at < into.len() {
            let from = offset + at as u64;
            let rest = &mut into[at..];
            match self.load(load, from, rest) {
                Ok(()) => return Ok(()),
                Err(LoadError::Unreadable(bad)) => {
                    let (start, end) = ((bad.start - from) as usize, (bad.end - from) as usize);
                    if start > 0 {
                        // It may be bad, too, in ways that are not known yet.
                        self.load_readable(load, from, &mut rest[..start])?;
                    }
                    rest[start..end].fill(0xFF);
                    at += end;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the list. `true`: neither copy is readable, so what was in it is not known.
    pub(crate) fn read(load: &impl Load, uuid: &[u8; 16], len: u64) -> Result<(BadRanges, bool), Error> {
        let mut newest: Option<BadRanges> = None;
        for place in COPIES {
            if let Copy::List(list) = Self::read_copy(load, uuid, len, place)?
                && newest.as_ref().is_none_or(|newest| list.number > newest.number)
            {
                newest = Some(list);
            }
        }
        let lost = newest.is_none();
        Ok((newest.unwrap_or_default(), lost))
    }

    fn read_copy(load: &impl Load, uuid: &[u8; 16], len: u64, place: u64) -> Result<Copy, Error> {
        let mut bytes = [0; COPY];
        match load.load(place, &mut bytes) {
            Ok(()) => {}
            Err(LoadError::Unreadable(_)) => return Ok(Copy::Unreadable),
            Err(error) => return Err(error.into()),
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Copy::List(BadRanges::default()));
        }
        Ok(Self::decode(&bytes, uuid, len).map_or(Copy::Unreadable, Copy::List))
    }

    fn decode(bytes: &[u8; COPY], uuid: &[u8; 16], len: u64) -> Option<BadRanges> {
        let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let (number, count) = (field::NUMBER.u64(bytes), field::COUNT.u64(bytes));
        let checksum = u64::from(Self::checksum(bytes, uuid));
        if field::MAGIC.get(bytes) != MAGIC || count > MOST as u64 || field::CHECKSUM.u64(bytes) != checksum {
            return None;
        }
        let entries = (0..count as usize).map(|entry| HEADER + entry * ENTRY);
        let ranges: Vec<_> = entries.map(|at| u64_at(at)..u64_at(at).saturating_add(u64_at(at + 8))).collect();
        let apart = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
        let sound = ranges.iter().all(|range| range.start < range.end && range.end <= len) && apart;
        sound.then_some(BadRanges { ranges, number })
    }

    fn encode(&self, uuid: &[u8; 16]) -> [u8; COPY] {
        let mut bytes = [0; COPY];
        field::MAGIC.put(&mut bytes, MAGIC);
        field::NUMBER.put(&mut bytes, self.number.to_le_bytes());
        field::COUNT.put(&mut bytes, (self.ranges.len() as u64).to_le_bytes());
        for (range, entry) in self.ranges.iter().zip(bytes[HEADER..].chunks_exact_mut(ENTRY)) {
            entry[..8].copy_from_slice(&range.start.to_le_bytes());
            entry[8..].copy_from_slice(&(range.end - range.start).to_le_bytes());
        }
        let checksum = u64::from(Self::checksum(&bytes, uuid));
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    fn checksum(bytes: &[u8; COPY], uuid: &[u8; 16]) -> u32 {
        let counts = &bytes[field::NUMBER.at..field::COUNT.end()];
        Crc32c::new().update(uuid).update(counts).update(&bytes[HEADER..]).value()
    }

    /// Makes the list durable: first in the copy that does not count now, then in the other one. A copy that is bad
    /// itself is left out.
    pub(crate) fn write(&mut self, store: &impl Store, uuid: &[u8; 16], len: u64) -> Result<(), Error> {
        let number = |copy: Copy| match copy {
            Copy::List(list) => Some(list.number),
            Copy::Unreadable => None,
        };
        let mut copies = [(None, COPIES[0]), (None, COPIES[1])];
        for (found, place) in &mut copies {
            *found = number(Self::read_copy(store, uuid, len, *place)?);
        }
        copies.sort_by_key(|(found, _)| *found);
        self.number = copies.iter().filter_map(|(found, _)| *found).fold(self.number, u64::max) + 1;
        let bytes = self.encode(uuid);
        for (_, place) in copies {
            let range = place..place + COPY as u64;
            if self.within(&range).is_none() {
                store.store(place, &bytes)?;
                store.write_back(range)?;
                store.fence();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BadRanges, COPIES, MOST};
    use crate::medium::{Load, LoadError, Medium, Store};
    use crate::sim::Memory;

    const UUID: [u8; 16] = [7; 16];
    const LEN: u64 = 1 << 40;

    fn read(memory: &Memory) -> (BadRanges, bool) {
        memory.read(|load| BadRanges::read(&load, &UUID, LEN)).unwrap().unwrap()
    }

    #[test]
    fn ranges_are_joined_and_found() {
        let mut bad = BadRanges::default();
        assert!(bad.add(&(128..192)) && bad.add(&(0..64)) && bad.add(&(192..256)));
        assert!(!bad.add(&(130..250)) && !bad.add(&(5..5)));
        assert_eq!(bad.to_vec(), [0..64, 128..256]);
        assert_eq!((bad.within(&(60..140)), bad.within(&(64..128))), (Some(60..64), None));
        assert_eq!((bad.within(&(200..900)), bad.within(&(256..900))), (Some(200..256), None));
        for number in 0..MOST as u64 + 20 {
            bad.add(&(1000 + number * number * 64..1000 + number * number * 64 + 8));
        }
        assert!(bad.to_vec().len() == MOST && bad.within(&(1000..1008)).is_some());
    }

    #[test]
    fn the_list_is_read_back_from_either_copy() {
        let memory = Memory::new(64 << 10);
        let mut bad = BadRanges::default();
        for number in 1..4u64 {
            bad.add(&(number << 20..(number << 20) + 64));
            memory.write(|store| bad.write(&store, &UUID, LEN)).unwrap().unwrap();
            assert_eq!(read(&memory), (bad.clone(), false));
        }
        for place in COPIES {
            memory.write(|store| store.store(place + 40, &[9])).unwrap().unwrap();
            let both = place == COPIES[1];
            assert_eq!(read(&memory), (if both { BadRanges::default() } else { bad.clone() }, both));
        }
    }

    #[test]
    fn what_can_be_read_around_bad_bytes_is_read() {
        let memory = Memory::from(alloc::vec![5; 4096]);
        memory.poison(64..128, false);
        let mut bad = BadRanges::default();
        bad.add(&(256..260));
        memory
            .read(|load| {
                let mut bytes = [0; 300];
                bad.load_readable(&load, 10, &mut bytes).unwrap();
                let expected = |at: u64| if (64..128).contains(&at) || (256..260).contains(&at) { 0xFF } else { 5 };
                assert!(bytes.iter().zip(10..).all(|(byte, at)| *byte == expected(at)));
                assert_eq!(bad.load(&load, 200, &mut bytes), Err(LoadError::Unreadable(256..260)));
                assert_eq!(load.load(127, &mut bytes[..2]), Err(LoadError::Unreadable(127..128)));
            })
            .unwrap();
        assert_eq!((memory.media_errors(), memory.bad_ranges()), (1, alloc::vec![64..128]));
    }
}
