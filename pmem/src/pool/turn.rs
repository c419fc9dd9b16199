//! One turn of an event loop: reads under one read grant, and writes staged until the turn's end.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::catalog::Which;
use crate::pool::log::{Found, Log, PEEK, Window};
use crate::pool::record::{Kind, Large, OpHeader};
use crate::pool::{Meta, Op, ValueType};

/// One turn of an event loop over a pool: reads, and writes staged until the turn's end. See
/// [`Pool::turn`](crate::Pool::turn).
///
/// What a turn has staged it reads itself. All of it becomes durable by the same fence, but a power cut before that may
/// leave the first operations of a turn and not the others; those of [`Turn::atomically`] are all there, or none is.
///
/// ```
/// # use pmem::{FormatOptions, Op, Pool, ValueType, sim::Memory};
/// # fn main() -> Result<(), pmem::Error> {
/// # let mut pool = Pool::format(Memory::new(16 << 20), &FormatOptions::new([7; 16]))?;
/// let (moved, _receipt) = pool.turn(|turn| {
///     turn.put(b"here", b"a coin", None)?;
///     let mut coin = Vec::new();
///     turn.get(b"here", &mut coin)?;
///     let there = Op::Put { key: b"there", value: &coin, value_type: ValueType::STRING, expires_at_ms: None };
///     turn.atomically(&[Op::Remove { key: b"here" }, there])?;
///     Ok::<_, pmem::Error>((turn.contains(b"here")?, turn.contains(b"there")?))
/// })?;
/// assert_eq!(moved?, (false, true));
/// # Ok(())
/// # }
/// ```
pub struct Turn<'t, M: Medium> {
    pub(super) medium: &'t M,
    pub(super) log: &'t mut Log,
    pub(super) reader: M::Reader<'t>,
}

/// What a key has: staged in this turn, or on the medium.
pub(super) enum Current<'a> {
    Staged(OpHeader, &'a [u8]),
    Stored(Found),
}

impl Current<'_> {
    pub(super) fn header(&self) -> &OpHeader {
        match self {
            Current::Staged(header, _) => header,
            Current::Stored(found) => &found.header,
        }
    }

    /// What an error of the value names.
    pub(super) fn place(&self) -> u64 {
        match self {
            Current::Staged(..) => 0,
            Current::Stored(found) => found.place,
        }
    }
}

impl<'t, M: Medium> Turn<'t, M> {
    pub(crate) fn new(medium: &'t M, log: &'t mut Log, reader: M::Reader<'t>) -> Self {
        Turn { medium, log, reader }
    }

    /// Appends the key's value to `value`. `None`, and `value` untouched, if there is no such key.
    pub fn get(&mut self, key: &[u8], value: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        self.get_range(key, 0, u64::MAX, value)
    }

    /// Appends at most `len` bytes of the key's value from byte `offset` on to `value`; fewer where the value ends.
    pub fn get_range(&mut self, key: &[u8], offset: u64, len: u64, value: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        let start = value.len();
        let result = self.read_range(key, offset, len, value);
        if result.is_err() {
            value.truncate(start);
        }
        result
    }

    fn read_range(&mut self, key: &[u8], offset: u64, len: u64, value: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        self.prepare(key)?;
        let mut window = Window::new(PEEK);
        match self.look(key, &mut window)? {
            None => Ok(None),
            Some(Current::Stored(found)) if found.header.kind != Kind::PutLarge => {
                let total = self.log.read_value(&self.reader, &found, &window, offset, len, value)?;
                Ok(Some(found.header.meta(total)))
            }
            Some(Current::Staged(header, staged)) if header.kind != Kind::PutLarge => {
                let from = offset.min(staged.len() as u64) as usize;
                let bytes = len.min((staged.len() - from) as u64) as usize;
                value.extend_from_slice(&staged[from..from + bytes]);
                Ok(Some(header.meta(staged.len() as u64)))
            }
            Some(current) => {
                let (place, header) = (current.place(), *current.header());
                let large = self.large_of(&current)?.ok_or(Error::Damaged { offset: place })?;
                self.read_chunks(place, &large, offset, len, value)?;
                Ok(Some(header.meta(large.len)))
            }
        }
    }

    /// Appends bytes of a large value. `place` is what an error names.
    pub(super) fn read_chunks(
        &mut self,
        place: u64,
        large: &Large,
        offset: u64,
        len: u64,
        value: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.log.is_unread() {
            let size = u64::from(large.chunk_size);
            let end = offset.saturating_add(len).min(large.len).div_ceil(size) as u32;
            self.log.ready_chunks(&self.reader, large, (offset.min(large.len) / size) as u32..end)?;
        }
        self.log.read_large(&self.reader, place, large, offset, len, value)
    }

    /// What the operation says of a value that lies in chunks. `None` if it lies in the operation.
    pub(super) fn large_of(&self, current: &Current<'_>) -> Result<Option<Large>, Error> {
        match current {
            Current::Stored(found) if found.header.kind == Kind::PutLarge => {
                self.log.large(&self.reader, found).map(Some)
            }
            Current::Staged(header, value) if header.kind == Kind::PutLarge => Ok(Large::decode(value)),
            _ => Ok(None),
        }
    }

    /// What the pool keeps about the key's value: its length, its type, its expiry.
    pub fn meta(&mut self, key: &[u8]) -> Result<Option<Meta>, Error> {
        self.prepare(key)?;
        let Some(current) = self.current(key)? else { return Ok(None) };
        let header = current.header();
        let len = self.large_of(&current)?.map_or(header.value_len as u64, |large| large.len);
        Ok(Some(header.meta(len)))
    }

    /// Whether the key is there.
    pub fn contains(&mut self, key: &[u8]) -> Result<bool, Error> {
        self.prepare(key)?;
        Ok(self.current(key)?.is_some())
    }

    /// Sets the key's value, a string. [`Op::Put`] sets one of any type.
    pub fn put(&mut self, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) -> Result<(), Error> {
        self.atomically(&[Op::Put { key, value, value_type: ValueType::STRING, expires_at_ms }])
    }

    /// Removes the key. Says whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, Error> {
        self.prepare(key)?;
        match self.current(key) {
            Ok(None) => return Ok(false),
            // A key whose value is lost is there, and can be removed.
            Ok(Some(_)) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        self.atomically(&[Op::Remove { key }])?;
        Ok(true)
    }

    /// Removes every key. [`Error::Full`] if damage has left no free segment to say so in.
    pub fn clear(&mut self) -> Result<(), Error> {
        let nothing =
            self.log.stage.is_empty() && self.log.catalog.keys().len() == 0 && self.log.catalog.chunks().len() == 0;
        if nothing || self.log.stage.is_clearing() && self.log.stage.is_empty() {
            return Ok(());
        }
        // Cleaning always leaves one, or a checkpoint has taken it, which the clearing ends; else it was lost to
        // damage.
        if self.log.space.free() == 0 && !self.log.unread.has_checkpoint() {
            return Err(Error::Full);
        }
        self.log.discard_staged();
        self.log.stage.stage_clearing(self.log.frontier.next_sequence() - 1);
        self.log.replan();
        Ok(())
    }

    /// Makes what is staged durable now, before the turn's end, for a fence. What a turn stages is bounded without it.
    /// If that fails, what was staged is lost, and the turn fails with it.
    pub fn settle(&mut self) -> Result<(), Error> {
        let result = self.commit();
        if let Err(error) = &result {
            self.log.stage.fail(error);
        }
        result
    }

    /// Bytes that the pool has loaded and stored since it was opened, with those that are staged now: what grows as a
    /// turn works, for who bounds a turn.
    pub fn moved(&self) -> u64 {
        let counters = self.medium.counters();
        counters.bytes_loaded + counters.bytes_stored + self.log.stage.byte_len() as u64
    }

    /// Makes sure that the index can be asked about a key.
    pub(super) fn prepare(&mut self, key: &[u8]) -> Result<(), Error> {
        match self.log.is_unread() {
            true => self.log.ready(&self.reader, Which::Keys, self.log.hash(key)),
            false => Ok(()),
        }
    }

    /// What a key has now, this turn's own writes included. The index was prepared.
    pub(super) fn current(&self, key: &[u8]) -> Result<Option<Current<'_>>, Error> {
        self.look(key, &mut Window::for_key(key))
    }

    /// As [`Self::current`]; if that is stored, its first bytes are in `window`.
    // Inlined, so that what was found is not moved from result to result.
    #[inline(always)]
    fn look(&self, key: &[u8], window: &mut Window) -> Result<Option<Current<'_>>, Error> {
        let hash = self.log.hash(key);
        if let Some((header, value)) = self.log.stage.latest(hash, key) {
            return Ok((header.kind != Kind::Remove).then_some(Current::Staged(header, value)));
        }
        if self.log.stage.is_clearing() {
            return Ok(None);
        }
        let keys = self.log.catalog.keys();
        Ok(self.log.find_in(keys, &self.reader, hash, key, window)?.map(Current::Stored))
    }

    /// Ends the turn: what is staged becomes durable.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match self.log.stage.take_failure() {
            Some(error) => {
                self.log.discard_staged();
                Err(error)
            }
            None => self.settle(),
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.log.stage.is_empty() && !self.log.stage.is_clearing() {
            return Ok(());
        }
        self.log.ready_for_staged(&self.reader)?;
        let medium = self.medium;
        if let Some(result) = self.log.commit_batch(&self.reader, |batch| medium.write(|store| batch.write(&store))?) {
            return result;
        }
        let bytes = self.log.stage.byte_len() as u64;
        medium.write(|store| {
            self.log.commit(&store)?;
            self.log.maintain(&store, bytes)
        })?
    }
}
