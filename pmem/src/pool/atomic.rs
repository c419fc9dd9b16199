//! Writing: atomic records, staged whole, and the chunks of large values before them.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::catalog::Room;
use crate::pool::clean::{Choice, PUT_RESERVE, REMOVE_RESERVE};
use crate::pool::log::{Log, large_cost};
use crate::pool::record::{FRAME_HEADER, Kind, Large, OpHeader, VALUE_LIMIT};
use crate::pool::superblock::TYPED;
use crate::pool::turn::Turn;
use crate::pool::writer::{Record, Size};
use crate::pool::{Op, ValueType};

/// A turn commits early when it has staged this much, in bytes.
const STAGE_LIMIT: usize = 512 << 10;

impl<M: Medium> Turn<'_, M> {
    /// Does all of `ops`, in order, in one record: after a power cut all of them happened or none. An operation on a
    /// key that an earlier one of them wrote sees its effect.
    ///
    /// [`Error::OldVersion`] if one of them is on a value of another type than string, and the pool is of version 1.
    pub fn atomically(&mut self, ops: &[Op<'_>]) -> Result<(), Error> {
        let mut size = self.measure(ops)?;
        let mut removes_only = true;
        for op in ops {
            if let Op::Put { value_type, .. } = op {
                self.allow_type(*value_type)?;
                removes_only = false;
            }
        }
        if !removes_only {
            size.keys = self.admit(ops, size.growth)?;
        }
        // Chunks first, in frames of their own: without the record that names them they are nothing.
        let mut larges = Vec::new();
        for op in ops {
            if let Op::Put { value, .. } = op
                && self.is_large(value)
            {
                match self.stage_chunks(value) {
                    Ok(large) => larges.push(large),
                    Err(error) => {
                        self.abandon_chunks(&larges);
                        return Err(error);
                    }
                }
            }
        }
        let reserve = if removes_only { REMOVE_RESERVE } else { PUT_RESERVE };
        let staged = self.begin_record(&size, reserve).and_then(|record| self.stage_ops(record, ops, &larges));
        if staged.is_err() {
            self.abandon_chunks(&larges);
            return staged;
        }
        self.count_staged(&size);
        self.settle_if_large()
    }

    /// Makes sure that a value of this type may be written: before the first one that is no string, the pool says that
    /// it has some.
    #[inline]
    pub(super) fn allow_type(&mut self, value_type: ValueType) -> Result<(), Error> {
        if value_type == ValueType::STRING || self.log.superblock.features.to_read & TYPED != 0 {
            return Ok(());
        }
        self.say_typed()
    }

    #[cold]
    fn say_typed(&mut self) -> Result<(), Error> {
        self.medium.write(|store| self.log.require_to_read(&store, TYPED))?
    }

    /// Counts what a record adds to the accounts and the index that has been staged, and is not durable already.
    pub(super) fn count_staged(&mut self, size: &Size) {
        if !self.log.stage.is_empty() {
            self.log.stage.count_growth(size.growth, size.room());
        }
    }

    /// Commits early what is as much as a turn may stage.
    pub(super) fn settle_if_large(&mut self) -> Result<(), Error> {
        if self.log.stage.byte_len() >= self.stage_limit() { self.settle() } else { Ok(()) }
    }

    pub(super) fn stage_limit(&self) -> usize {
        STAGE_LIMIT.min(self.log.frame_limit())
    }

    /// Whether a value lies in chunks.
    fn is_large(&self, value: &[u8]) -> bool {
        value.len() > self.log.chunk_size()
    }

    /// Checks the limits. Returns what the record takes.
    fn measure(&self, ops: &[Op<'_>]) -> Result<Size, Error> {
        let mut size = Size::new();
        for op in ops {
            let (header, key, value) = op.parts();
            too_large("a key", key.len() as u64, self.log.key_limit() as u64)?;
            too_large("a value", value.len() as u64, VALUE_LIMIT)?;
            let large = self.is_large(value);
            size.add(&if large { header.in_chunks() } else { header });
            if large {
                size.growth += large_cost(&self.division(value));
            }
        }
        Ok(size)
    }

    fn division(&self, value: &[u8]) -> Large {
        let chunk_size = self.log.chunk_size() as u32;
        Large { object: self.log.frontier.next_sequence(), len: value.len() as u64, chunk_size, ahead: 0 }
    }

    /// Makes sure that the index has room for the keys, and the accounts for `growth` bytes more. Returns how many
    /// entries the index gets at most.
    fn admit(&mut self, ops: &[Op<'_>], growth: u64) -> Result<usize, Error> {
        let inserts = self.reserve_index(ops)?;
        self.admit_growth(growth, |turn| turn.replaced(ops))?;
        Ok(inserts)
    }

    /// Makes sure that the index has room for the keys of `ops`, next to those that are staged. Returns how many are
    /// new at most.
    pub(super) fn reserve_index(&mut self, ops: &[Op<'_>]) -> Result<usize, Error> {
        let mut puts = 0;
        for op in ops {
            if let Op::Put { key, .. } = op {
                // What the index still has to read may take DRAM, too.
                self.prepare(key)?;
                puts += 1;
            }
        }
        if self.log.reserve_keys(self.log.stage.room().keys + puts).is_ok() {
            return Ok(puts);
        }
        let mut new = 0;
        for op in ops {
            if let Op::Put { key, .. } = op {
                new += usize::from(matches!(self.current(key), Ok(None)));
            }
        }
        match new {
            0 => Ok(0),
            _ => self.log.reserve_keys(self.log.stage.room().keys + new).map(|()| new).map_err(|_| Error::IndexFull),
        }
    }

    /// Makes sure that the accounts have room for `growth` bytes more, of which `replaced` says, when nothing is
    /// staged, how many take the place of others.
    pub(super) fn admit_growth(
        &mut self,
        growth: u64,
        replaced: impl FnOnce(&mut Self) -> Result<u64, Error>,
    ) -> Result<(), Error> {
        let over = |log: &Log, growth: u64| {
            let kept = if log.stage.is_clearing() { 0 } else { log.space.live() + log.space.removals() };
            kept + log.stage.byte_growth() + growth > log.space.capacity()
        };
        if !over(self.log, growth) {
            return Ok(());
        }
        // The exact reckoning: what the staged operations really add, and what these ones will replace.
        self.settle()?;
        let growth = growth.saturating_sub(replaced(self)?);
        if self.log.space.live() + growth > self.log.space.capacity() {
            return Err(Error::Full);
        }
        // What is over the limit is removals that shadow something still. Cleaning every segment once ends that.
        for _ in 0..2 * self.log.geometry().segments {
            if !over(self.log, growth) {
                return Ok(());
            }
            if !self.medium.write(|store| self.log.clean_segment(&store, Choice::Oldest))?? {
                break;
            }
        }
        if over(self.log, growth) { Err(Error::Full) } else { Ok(()) }
    }

    /// What the values take that `ops` will replace, in bytes.
    fn replaced(&mut self, ops: &[Op<'_>]) -> Result<u64, Error> {
        let mut replaced = 0;
        for op in ops {
            if let Op::Put { key, .. } = op {
                self.prepare(key)?;
                // What is lost of an old value is not counted; the key can be written anew all the same.
                let cost = match self.log.find(&self.reader, self.log.hash(key), key) {
                    Ok(Some(found)) => self.log.cost_of(&self.reader, &found),
                    Ok(None) => Ok(0),
                    Err(error) => Err(error),
                };
                replaced += match cost {
                    Err(Error::Damaged { .. }) => 0,
                    cost => cost?,
                };
            }
        }
        Ok(replaced)
    }

    /// Makes sure that what is staged and one more frame fit into free segments, `reserve` of which stay free.
    #[inline(always)]
    pub(super) fn make_room(&mut self, frame_len: usize, reserve: u32) -> Result<(), Error> {
        self.clean_until(|log| {
            let plan = log.frontier.planned(frame_len);
            plan.segments == 0 || log.stage.is_clearing() || plan.segments + reserve <= log.space.free()
        })
    }

    /// Cleans segments until there is `enough` room.
    #[inline(always)]
    pub(super) fn clean_until(&mut self, enough: impl Fn(&Log) -> bool) -> Result<(), Error> {
        if enough(self.log) { Ok(()) } else { self.clean_on(enough) }
    }

    #[cold]
    fn clean_on(&mut self, enough: impl Fn(&Log) -> bool) -> Result<(), Error> {
        for _ in 0..2 * self.log.geometry().segments {
            if enough(self.log) {
                return Ok(());
            }
            let held = self.log.unread.has_checkpoint();
            if !self.medium.write(|store| self.log.clean_segment(&store, Choice::Sparsest))?? && !held {
                break;
            }
        }
        Err(Error::Full)
    }

    /// Stages a large value's chunks, committing early as they come.
    fn stage_chunks(&mut self, value: &[u8]) -> Result<Large, Error> {
        let large = self.division(value);
        for (chunk, part) in value.chunks(large.chunk_size as usize).enumerate() {
            let key = large.chunk_key(chunk as u32);
            let sequence = self.log.frontier.take_sequence();
            let header = OpHeader { sequence, ..OpHeader::new(Kind::Chunk, key.len(), part.len()) };
            let staged = self.make_room(FRAME_HEADER + header.len(), PUT_RESERVE).and_then(|()| {
                self.log.reserve_chunks(self.log.stage.room().chunks + 1).map_err(|_| Error::IndexFull)?;
                let hash = self.log.hash(&key);
                self.log.frontier.plan_frame(FRAME_HEADER + header.len());
                let mark = self.log.stage.begin_frame();
                self.log.stage.push(hash, &header, &key, part);
                self.log.stage.end_frame(mark);
                self.log.stage.publish_last_frame();
                self.log.stage.count_growth(0, Room { keys: 0, chunks: 1 });
                self.settle_if_large()
            });
            if let Err(error) = staged {
                self.abandon_chunks(&[large]);
                return Err(error);
            }
        }
        Ok(large)
    }

    /// Gives up chunks whose value will not come. Those on the medium are dead from now on, and so are those staged,
    /// once they are committed: recovery finds no value that names them.
    fn abandon_chunks(&mut self, larges: &[Large]) {
        if self.settle().is_err() {
            self.log.discard_staged();
        }
        for large in larges {
            if self.log.ready_chunks(&self.reader, large, 0..large.chunks()).is_err() {
                // They are dead at the next opening.
                continue;
            }
            self.log.drop_chunks(&self.reader, large, large.chunks());
        }
    }

    /// Stages the operations of a record. Everything was checked.
    fn stage_ops(&mut self, mut record: Record, ops: &[Op<'_>], larges: &[Large]) -> Result<(), Error> {
        let mut larges = larges.iter();
        for op in ops {
            let (header, key, value) = op.parts();
            let large = if self.is_large(value) { larges.next().map(Large::encode) } else { None };
            match &large {
                Some(large) => self.add(&mut record, header.in_chunks(), key, large)?,
                None => self.add(&mut record, header, key, value)?,
            }
        }
        self.end_record(record)
    }
}

impl<'a> Op<'a> {
    /// The header of the operation, without a number, its key and its value.
    fn parts(&self) -> (OpHeader, &'a [u8], &'a [u8]) {
        match *self {
            Op::Put { key, value, value_type, expires_at_ms } => {
                let header = OpHeader::new(Kind::Put, key.len(), value.len());
                (OpHeader { value_type, expires_at_ms, ..header }, key, value)
            }
            Op::Remove { key } => (OpHeader::new(Kind::Remove, key.len(), 0), key, &[]),
        }
    }
}

pub(super) fn too_large(what: &'static str, len: u64, limit: u64) -> Result<(), Error> {
    if len > limit { Err(Error::TooLarge { what, len, limit }) } else { Ok(()) }
}
