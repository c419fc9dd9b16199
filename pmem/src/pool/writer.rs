//! Writing one record: as a frame, staged with the others of the turn, or, if it is too long for a frame, in parts
//! that lie in segments of their own and count together (`parts`).

use alloc::boxed::Box;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::catalog::Room;
use crate::pool::parts::Parts;
use crate::pool::record::{FRAME_HEADER, Kind, OpHeader};
use crate::pool::stage::Mark;
use crate::pool::turn::Turn;

/// What a record takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Its length as one frame.
    pub len: usize,
    /// The longest of its operations.
    pub longest: usize,
    /// What all of it adds to the accounts, its chunks that are written before it too.
    pub growth: u64,
    /// How many keys enter the index, at most.
    pub keys: usize,
    /// How many of its own operations are chunks.
    pub chunks: usize,
}

impl Size {
    /// A record without operations.
    pub(super) fn new() -> Size {
        Size { len: FRAME_HEADER, longest: 0, growth: 0, keys: 0, chunks: 0 }
    }

    /// The entries that the indices get.
    pub(super) fn room(&self) -> Room {
        Room { keys: self.keys, chunks: self.chunks }
    }

    /// Adds an operation.
    pub(super) fn add(&mut self, header: &OpHeader) {
        self.len += header.len();
        self.longest = self.longest.max(header.len());
        self.growth += header.cost();
        self.chunks += usize::from(header.kind == Kind::Chunk);
    }
}

/// A record that is being written. All that is staged while it is belongs to it.
#[derive(Debug)]
pub(super) struct Record {
    frame: Mark,
    /// Few records have any.
    parts: Option<Box<Parts>>,
}

impl<M: Medium> Turn<'_, M> {
    /// Begins a record, and makes room for it.
    // Inlined, as adding to it and ending it are: what most records take are a few steps of each.
    #[inline(always)]
    pub(super) fn begin_record(&mut self, size: &Size, reserve: u32) -> Result<Record, Error> {
        if size.len > self.log.frame_limit() {
            return self.begin_parts(size, reserve);
        }
        self.make_room(size.len, reserve)?;
        self.reserve_entries(size)?;
        Ok(Record { frame: self.log.stage.begin_frame(), parts: None })
    }

    fn begin_parts(&mut self, size: &Size, reserve: u32) -> Result<Record, Error> {
        self.settle()?;
        // One more, for the segment that joins them.
        let segments = self.log.segments_for_parts(size.len as u64, size.longest as u64) + 1;
        self.clean_until(|log| u64::from(log.space.free()) >= segments + u64::from(reserve))?;
        self.reserve_entries(size)?;
        let parts = self.medium.write(|store| self.log.begin_parts(&store))??;
        Ok(Record { frame: self.log.stage.begin_frame(), parts: Some(Box::new(parts)) })
    }

    /// Makes sure that the index has room for what the record adds to it, next to what is staged.
    fn reserve_entries(&mut self, size: &Size) -> Result<(), Error> {
        let keys = self.log.reserve_keys(self.log.stage.room().keys + size.keys);
        let chunks = self.log.reserve_chunks(self.log.stage.room().chunks + size.chunks);
        keys.and(chunks).map_err(|_| Error::IndexFull)
    }

    /// Adds an operation, which gets the next number. After an error the record is given up: nothing is added to it any
    /// more, and it is not ended.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        record: &mut Record,
        mut header: OpHeader,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        header.sequence = self.log.frontier.take_sequence();
        let hash = self.log.hash(key);
        self.log.stage.push(hash, &header, key, value);
        if let Some(parts) = &mut record.parts
            && self.log.stage.begun_len(&record.frame) > self.log.part_frame()
        {
            record.frame = self.next_part_frame(record.frame, parts)?;
        }
        Ok(())
    }

    /// Ends a frame of a record in parts, and begins the next one.
    fn next_part_frame(&mut self, frame: Mark, parts: &mut Parts) -> Result<Mark, Error> {
        self.log.stage.end_frame(frame);
        if self.log.stage.byte_len() >= self.stage_limit()
            && let Err(error) = self.write_parts(parts)
        {
            return Err(self.give_up_parts(error));
        }
        Ok(self.log.stage.begin_frame())
    }

    /// Ends a record: it is staged as one frame, or, if it has parts, durable. After an error it is given up. Where it
    /// is not known whether it counts, that is the turn's error and not this one's, so that nobody takes back what
    /// belongs to a record that does.
    #[inline(always)]
    pub(super) fn end_record(&mut self, record: Record) -> Result<(), Error> {
        let Record { frame, parts } = record;
        if let Some(parts) = parts {
            return self.end_parts(frame, parts);
        }
        self.log.frontier.plan_frame(self.log.stage.begun_len(&frame));
        self.log.stage.end_frame(frame);
        self.log.stage.publish_last_frame();
        Ok(())
    }

    fn end_parts(&mut self, frame: Mark, mut parts: Box<Parts>) -> Result<(), Error> {
        self.log.stage.end_frame(frame);
        if let Err(error) = self.write_parts(&mut parts) {
            return Err(self.give_up_parts(error));
        }
        let key = match self.log.ready_to_join() {
            Ok(key) => key,
            Err(error) => return Err(self.give_up_parts(error)),
        };
        let joined = self.medium.write(|store| {
            let bytes = parts.bytes();
            self.log.join_parts(&store, *parts, key)?;
            self.log.maintain(&store, bytes)
        });
        if let Err(error) = joined.map_err(Error::from).and_then(|joined| joined) {
            self.log.catalog.doubt_shadows();
            self.log.stage.fail(&error);
        }
        Ok(())
    }

    /// Gives up a record whose rest will not come, because of `error`.
    pub(super) fn abandon_record(&mut self, record: &Record, error: Error) -> Error {
        self.log.stage.drop_frame(record.frame);
        if record.parts.is_some() { self.give_up_parts(error) } else { error }
    }

    fn give_up_parts(&mut self, error: Error) -> Error {
        self.log.stage.discard();
        let given_up = self.medium.write(|store| self.log.abandon_parts(&store));
        match given_up.map_err(Error::from).and_then(|result| result) {
            Ok(()) => error,
            // What is durable is as it was, but what is free is not known any more.
            Err(failed) => {
                self.log.stage.fail(&failed);
                failed
            }
        }
    }

    /// Makes the frames staged durable, as parts.
    fn write_parts(&mut self, parts: &mut Parts) -> Result<(), Error> {
        self.log.ready_for_staged(&self.reader)?;
        self.medium.write(|store| self.log.write_parts(&store, parts))?
    }
}
