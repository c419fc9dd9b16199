//! Changing a part of a value: of one that lies in chunks, only those that change are written.
//!
//! They keep their object and their numbers, and a record has them together with the *put large* that counts from then
//! on, so all of them count or none.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::atomic::too_large;
use crate::pool::clean::PUT_RESERVE;
use crate::pool::dram;
use crate::pool::record::{CHUNK_KEY, Kind, LARGE, Large, OpHeader, VALUE_LIMIT};
use crate::pool::turn::Turn;
use crate::pool::writer::{Record, Size};
use crate::pool::{Op, ValueType};

/// What a key has before its value is changed.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    len: u64,
    value_type: ValueType,
    expires_at_ms: Option<u64>,
    /// How the value is divided, if it lies in chunks.
    large: Option<Large>,
    /// What the operation that sets it takes, in bytes.
    cost: u64,
    /// Where that is.
    place: u64,
}

/// A change of a value that lies in chunks afterwards.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    key: &'a [u8],
    before: Before,
    /// How the value is divided afterwards.
    large: Large,
    /// The first chunk that is written, and the one behind the last.
    chunks: (u32, u32),
    offset: u64,
    bytes: &'a [u8],
}

impl<M: Medium> Turn<'_, M> {
    /// Replaces the bytes of the key's value from `offset` on, and keeps its type and its expiry. The value grows as
    /// far as needed, with zeros up to `offset`; a key that is not there has the empty one. Returns its length.
    ///
    /// Of a large value, parts of 32 KiB (less in a small pool) are written that the bytes touch, and not the others.
    pub fn put_range(&mut self, key: &[u8], offset: u64, bytes: &[u8]) -> Result<u64, Error> {
        let before = self.before(key)?;
        self.change(key, before, offset, bytes)
    }

    /// Adds bytes at the end of the key's value, as [`Self::put_range`] does.
    pub fn append(&mut self, key: &[u8], bytes: &[u8]) -> Result<u64, Error> {
        let before = self.before(key)?;
        self.change(key, before, before.len, bytes)
    }

    fn before(&mut self, key: &[u8]) -> Result<Before, Error> {
        self.prepare(key)?;
        let Some(current) = self.current(key)? else { return Ok(Before::default()) };
        let (header, place) = (current.header(), current.place());
        let large = self.large_of(&current)?;
        let len = large.map_or(header.value_len as u64, |large| large.len);
        let OpHeader { value_type, expires_at_ms, .. } = *header;
        Ok(Before { len, value_type, expires_at_ms, large, cost: header.cost(), place })
    }

    fn change(&mut self, key: &[u8], before: Before, offset: u64, bytes: &[u8]) -> Result<u64, Error> {
        let Before { len, value_type, expires_at_ms, large, .. } = before;
        if bytes.is_empty() {
            return Ok(len);
        }
        let end = offset.saturating_add(bytes.len() as u64);
        too_large("a key", key.len() as u64, self.log.key_limit() as u64)?;
        too_large("a value", end, VALUE_LIMIT)?;
        let new_len = len.max(end);
        let chunk_size = self.log.chunk_size() as u32;
        if new_len <= u64::from(chunk_size) {
            let value = self.patched(key, 0..new_len, len, offset, bytes)?;
            self.atomically(&[Op::Put { key, value: &value, value_type, expires_at_ms }])?;
            return Ok(new_len);
        }
        let chunk_behind = |at: u64| at.div_ceil(u64::from(chunk_size)) as u32;
        let touched = ((offset.min(len) / u64::from(chunk_size)) as u32, chunk_behind(end));
        let (large, chunks) = match large {
            Some(large) if large.chunk_size == chunk_size && touched != (0, chunk_behind(new_len)) => {
                (Large { len: new_len, ..large }, touched)
            }
            // All of it is written, and no chunk that was there counts, nor is missed.
            _ => {
                let large = Large { object: self.log.frontier.next_sequence(), len: new_len, chunk_size, ahead: 0 };
                (large, (0, large.chunks()))
            }
        };
        self.write_change(&Change { key, before, large, chunks, offset, bytes })?;
        Ok(new_len)
    }

    fn write_change(&mut self, change: &Change<'_>) -> Result<(), Error> {
        let Change { key, before, large, .. } = *change;
        let Before { value_type, expires_at_ms, .. } = before;
        self.allow_type(value_type)?;
        let put = OpHeader { value_type, expires_at_ms, ..OpHeader::new(Kind::PutLarge, key.len(), LARGE) };
        let mut size = Size::new();
        size.add(&put);
        for chunk in change.chunks.0..change.chunks.1 {
            size.add(&OpHeader::new(Kind::Chunk, CHUNK_KEY, large.chunk_len(chunk) as usize));
        }

        size.keys = self.reserve_index(&[Op::Put { key, value: &[], value_type, expires_at_ms }])?;
        self.admit_growth(size.growth, |turn| turn.replaced_by(change))?;
        let mut record = self.begin_record(&size, PUT_RESERVE)?;
        let mut ahead = large.ahead;
        for chunk in change.chunks.0..change.chunks.1 {
            self.write_chunk(&mut record, change, chunk, &mut ahead)?;
        }
        let value = Large { ahead, ..large }.encode();
        self.add(&mut record, put, key, &value)?;
        self.end_record(record)?;
        self.count_staged(&size);
        self.settle_if_large()
    }

    /// Writes a chunk as it is after the change.
    fn write_chunk(
        &mut self,
        record: &mut Record,
        change: &Change<'_>,
        chunk: u32,
        ahead: &mut u32,
    ) -> Result<(), Error> {
        let Change { key, before, large, offset, bytes, .. } = *change;
        let start = u64::from(chunk) * u64::from(large.chunk_size);
        let content = self.patched(key, start..start + large.chunk_len(chunk), before.len, offset, bytes);
        let (content, old) = match content.and_then(|content| Ok((content, self.sequence_of(change, chunk)?))) {
            Ok(found) => found,
            Err(error) => return Err(self.abandon_record(record, error)),
        };
        let without = old.map_or(0, |old| large.ahead_by(chunk, old));
        *ahead = ahead.wrapping_sub(without).wrapping_add(large.ahead_by(chunk, self.log.frontier.next_sequence()));
        let key = large.chunk_key(chunk);
        self.add(record, OpHeader::new(Kind::Chunk, key.len(), content.len()), &key, &content)
    }

    /// The sequence number of the chunk that the change replaces, if it does.
    fn sequence_of(&mut self, change: &Change<'_>, chunk: u32) -> Result<Option<u64>, Error> {
        let Some(large) = change.before.large.filter(|large| large.object == change.large.object) else {
            return Ok(None);
        };
        if chunk >= large.chunks() {
            return Ok(None);
        }
        let key = large.chunk_key(chunk);
        if let Some((header, _)) = self.log.stage.latest_chunk(self.log.hash(&key), &key) {
            return Ok(Some(header.sequence));
        }
        self.log.ready_chunks(&self.reader, &large, chunk..chunk + 1)?;
        let found = self.log.find_chunk(&self.reader, &key)?;
        // The sum of the numbers cannot leave out a chunk that nobody knows.
        found.map(|found| Some(found.header.sequence)).ok_or(Error::Damaged { offset: change.before.place })
    }

    /// Bytes of a value of `len` bytes as they are after `bytes` were put at `offset`.
    fn patched(
        &mut self,
        key: &[u8],
        range: Range<u64>,
        len: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let size = (range.end - range.start) as usize;
        let mut part = dram::with_room(size)?;
        let end = offset + bytes.len() as u64;
        // What is replaced as a whole is not read.
        if range.start < len && !(offset <= range.start && end >= range.end.min(len)) {
            self.get_range(key, range.start, size as u64, &mut part)?;
        }
        part.resize(size, 0);
        let (from, to) = (offset.clamp(range.start, range.end), end.clamp(range.start, range.end));
        // A chunk behind the new bytes takes none of them.
        let skipped = ((from - offset.min(from)) as usize).min(bytes.len());
        let new = &bytes[skipped..][..(to - from) as usize];
        part[(from - range.start) as usize..(to - range.start) as usize].copy_from_slice(new);
        Ok(part)
    }

    /// What a change takes the place of, in bytes, when nothing is staged.
    fn replaced_by(&mut self, change: &Change<'_>) -> Result<u64, Error> {
        let Before { large, cost, .. } = change.before;
        let Some(large) = large else { return Ok(cost) };
        let kept = large.object == change.large.object;
        let written = change.chunks.0..change.chunks.1;
        let replaced = (0..large.chunks()).filter(|chunk| !kept || written.contains(chunk));
        let chunk_cost = |chunk| {
            let value_len = large.chunk_len(chunk) as usize;
            OpHeader::new(Kind::Chunk, CHUNK_KEY, value_len).cost()
        };
        Ok(cost + replaced.map(chunk_cost).sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    /// Another program, or a forged image, may have divided a value otherwise: it is divided anew, as a whole.
    #[test]
    fn a_value_in_chunks_of_another_size_is_changed_at_either_end() {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
        for (offset, len) in [(0, 1), (30_000, 20), (49_999, 1), (60_000, 5)] {
            let mut expected = vec![3; 50_000];
            let (result, _durable) = pool
                .turn(|turn| {
                    turn.put(b"key", &expected, None)?;
                    let mut before = turn.before(b"key")?;
                    before.large.as_mut().unwrap().chunk_size = 1024;
                    turn.change(b"key", before, offset, &vec![4; len])
                })
                .unwrap();
            expected.resize(expected.len().max(offset as usize + len), 0);
            expected[offset as usize..][..len].fill(4);
            assert_eq!(result.unwrap(), expected.len() as u64);
            let mut value = Vec::new();
            pool.turn(|turn| turn.get(b"key", &mut value)).unwrap().0.unwrap();
            assert!(value == expected, "{len} bytes at {offset}");
        }
    }
}
