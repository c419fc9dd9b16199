//! Records that are too long for a frame: their operations lie in *parts*, segments of their own, which count all
//! together or not at all.
//!
//! The parts are written, and ended, like other segments, but their headers say that they do not count yet. Then a
//! segment is opened whose header names the first of them: the word that makes it used makes them count. Afterwards
//! their own headers follow, so that nothing depends on that segment any more. Recovery finishes that, or frees the
//! parts that no segment names.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Store};
use crate::pool::dram::{NoRoom, with_room};
use crate::pool::log::Log;
use crate::pool::record::{FRAME_HEADER, Kind, LARGE};
use crate::pool::segment::{HEADER, Header, State};

/// A frame of a part ends when it is longer than this, in bytes; in small segments sooner.
const PART_FRAME: usize = 32 << 10;

/// The parts of a record that is being written.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    first_generation: u64,
    /// The hash of each operation's key, and the place.
    ops: Vec<(u64, u64)>,
    bytes: u64,
}

impl Parts {
    /// Bytes of frames written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Log {
    /// A frame of a part ends when it is longer than this, in bytes.
    pub(crate) fn part_frame(&self) -> usize {
        PART_FRAME.min(self.frame_limit() / 8)
    }

    /// How many segments the parts of a record take at most whose length and longest operation have so many bytes.
    pub(crate) fn segments_for_parts(&self, len: u64, longest: u64) -> u64 {
        let room = u64::from(self.batch_limit() - HEADER);
        // At a segment's end the length of a frame may be left unused, and at each batch's a line.
        let unused = (self.part_frame() + FRAME_HEADER) as u64 + longest + room / 64;
        // A frame's header, for every so many bytes.
        let headers = len / self.part_frame() as u64 * FRAME_HEADER as u64;
        (len + headers).div_ceil(room.saturating_sub(unused).max(1))
    }

    /// Begins to write parts: no segment takes other records until they are joined or given up.
    pub(crate) fn begin_parts(&mut self, store: &impl Store) -> Result<Parts, Error> {
        if let Some(head) = self.frontier.head() {
            self.seal(store, head.at)?;
        }
        Ok(Parts { first_generation: self.frontier.next_generation(), ..Parts::default() })
    }

    /// Makes the frames staged durable, as parts. Nothing enters the index.
    pub(crate) fn write_parts(&mut self, store: &impl Store, parts: &mut Parts) -> Result<(), Error> {
        parts.ops.try_reserve(self.stage.op_count()).map_err(|_| NoRoom)?;
        let mut frames = self.stage.take_frames();
        let mut first = 0;
        while first < frames.len() {
            let (start, last) = self.write_batch(store, &mut frames, first, State::Part)?;
            parts.ops.extend(frames.ops_of_batch(first..last).map(|(op, at)| (op.hash, start + at)));
            first = last;
        }
        parts.bytes += frames.byte_len() as u64;
        self.stage.give_back(frames);
        Ok(())
    }

    /// Makes sure that joining parts fails for want of nothing, and returns what it needs: a buffer for one key. When
    /// they are joined, what they say is durable, and it is too late.
    pub(crate) fn ready_to_join(&self) -> Result<Vec<u8>, Error> {
        if self.space.free() == 0 {
            return Err(Error::Full);
        }
        Ok(with_room(self.key_limit() + LARGE)?)
    }

    /// Makes all parts count, in one step, and puts what they say into the index. `key` is of
    /// [`Self::ready_to_join`]. After an error the next opening knows whether they count.
    pub(crate) fn join_parts(&mut self, store: &impl Store, parts: Parts, mut key: Vec<u8>) -> Result<(), Error> {
        if let Some(head) = self.frontier.head() {
            self.seal(store, head.at)?;
        }
        self.open_segment(store, State::Used, parts.first_generation)?;
        self.count_parts(store, &self.parts_since(parts.first_generation))?;
        for (hash, place) in parts.ops {
            // What cannot be read any more, an instant after it was written, is found by the next opening.
            let Ok(Some(header)) = self.header_at(store, place) else {
                self.catalog.doubt_shadows();
                continue;
            };
            key.clear();
            let len = header.key_len + if header.kind == Kind::PutLarge { header.value_len } else { 0 };
            if self.append(store, place + header.key_at() as u64, len, &mut key).is_ok() {
                let (key, value) = key.split_at(header.key_len);
                self.index_op(store, hash, &header, key, value, place);
            } else {
                self.catalog.doubt_shadows();
            }
        }
        self.replan();
        Ok(())
    }

    /// Lets the headers of parts say that they count. The first header decides, so the second one goes first: at no
    /// time does one that counts contradict.
    pub(crate) fn count_parts(&mut self, store: &impl Store, segments: &[u32]) -> Result<(), Error> {
        for position in [1, 0] {
            for segment in segments {
                let place = Header::places(self.geometry(), *segment)[position];
                if self.media.bad().within(&(place..place + LINE)).is_none() {
                    Header { state: State::Used, ..Header::unused(*segment) }.write_state(store, place)?;
                }
            }
            store.fence();
        }
        for segment in segments {
            self.space.join(*segment);
        }
        Ok(())
    }

    /// Gives up parts that will not be joined: their segments are free again.
    pub(crate) fn abandon_parts(&mut self, store: &impl Store) -> Result<(), Error> {
        self.frontier.leave_segment();
        for segment in self.parts_since(0) {
            self.release(store, segment)?;
        }
        store.fence();
        self.replan();
        Ok(())
    }

    /// The segments that are parts now, and were opened as such since this generation.
    fn parts_since(&self, generation: u64) -> Vec<u32> {
        self.space.those(State::Part).filter(|part| self.space.segment(*part).generation >= generation).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use crate::medium::Medium;
    use crate::pool::segment::{Header, HeaderPair, State};
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    /// One that could not be freed when its record was given up never counts with a later record.
    #[test]
    fn a_part_of_an_earlier_record_is_not_joined() {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
        pool.turn(|turn| turn.put(b"key", &vec![1; 60_000], None)).unwrap().0.unwrap();
        let left = pool.medium.write(|store| {
            pool.log.begin_parts(&store)?;
            pool.log.open_segment(&store, State::Part, 0)?;
            let head = pool.log.frontier.head().unwrap();
            pool.log.frontier.leave_segment();
            Ok::<u32, crate::Error>(head.segment)
        });
        let left = left.unwrap().unwrap();
        pool.turn(|turn| turn.put_range(b"key", 0, &vec![2; 40_000])).unwrap().0.unwrap();
        let (uuid, geometry) = (pool.log.superblock.uuid, *pool.log.geometry());
        let found = pool.medium.read(|load| Header::read(&load, &uuid, &geometry, left, pool.log.media.bad()));
        let HeaderPair::Readable { header, .. } = found.unwrap().unwrap() else { panic!("it has headers") };
        assert_eq!(header.state, State::Part);
        assert!(Pool::open(pool.medium).unwrap().stats().keys == 1);
    }
}
