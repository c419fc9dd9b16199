//! A medium in DRAM that can record what is done to it.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::ops::Range;

use crate::medium::{Counters, Gone, Load, LoadError, Medium, OutOfRange, Store, lines_touched};
use crate::tally::Tally;

/// A medium in DRAM.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: RefCell<Vec<u8>>,
    trace: RefCell<Option<Vec<Event>>>,
    /// Ranges that cannot be read.
    bad: RefCell<Vec<Range<u64>>>,
    /// How many of them a load has met, or were told without one.
    reported: Cell<usize>,
    tally: Tally,
}

/// Something done to a medium, in program order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes stored.
    Store {
        /// Where, in bytes from the medium's start.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The lines of a byte range written back.
    WriteBack(Range<u64>),
    /// A fence.
    Fence,
}

impl Memory {
    /// A medium of `len` zero bytes.
    pub fn new(len: u64) -> Memory {
        Memory::from(vec![0; len as usize])
    }

    /// Begins recording, and returns what was recorded so far.
    pub fn record(&self) -> Vec<Event> {
        self.trace.borrow_mut().replace(Vec::new()).unwrap_or_default()
    }

    /// How much was recorded so far.
    pub fn recorded(&self) -> usize {
        self.trace.borrow().as_ref().map_or(0, Vec::len)
    }

    /// A copy of what is visible now, durable or not.
    pub fn image(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Makes a byte range unreadable. The medium reports it at once if `told`, as a module does whose own check has met
    /// it, and otherwise when a load meets it.
    pub fn poison(&self, range: Range<u64>, told: bool) {
        let mut bad = self.bad.borrow_mut();
        if told {
            bad.insert(self.reported.get(), range);
            self.reported.set(self.reported.get() + 1);
        } else {
            bad.push(range);
        }
    }

    /// The first unreadable part of a range. From now on it is reported.
    fn meet_poison(&self, range: Range<u64>) -> Option<Range<u64>> {
        let mut bad = self.bad.borrow_mut();
        let met = bad.iter().position(|bad| bad.start < range.end && range.start < bad.end)?;
        let reported = self.reported.get();
        if met >= reported {
            bad.swap(met, reported);
            self.reported.set(reported + 1);
        }
        let bad = &bad[met.min(reported)];
        Some(bad.start.max(range.start)..bad.end.min(range.end))
    }

    fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            trace.push(event());
        }
    }
}

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Memory {
        Memory { bytes: RefCell::new(bytes), ..Memory::default() }
    }
}

/// Access to a [`Memory`], for one scope and one thread.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'g> {
    memory: &'g Memory,
    _thread: PhantomData<*mut ()>,
}

/// Access to a [`Memory`] that permits stores too.
#[derive(Clone, Copy, Debug)]
pub struct WriteGrant<'g>(Grant<'g>);

impl Load for Grant<'_> {
    fn size(&self) -> u64 {
        self.memory.len()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        OutOfRange::check(offset, into.len() as u64, self.size())?;
        self.memory.tally.loaded(into.len() as u64);
        if let Some(bad) = self.memory.meet_poison(offset..offset + into.len() as u64) {
            return Err(LoadError::Unreadable(bad));
        }
        into.copy_from_slice(&self.memory.bytes.borrow()[offset as usize..][..into.len()]);
        Ok(())
    }
}

impl Load for WriteGrant<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        self.0.load(offset, into)
    }
}

impl Store for WriteGrant<'_> {
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, from.len() as u64, self.size())?;
        self.0.memory.tally.stored(from.len() as u64);
        self.0.memory.bytes.borrow_mut()[offset as usize..][..from.len()].copy_from_slice(from);
        self.0.memory.note(|| Event::Store { offset, bytes: from.to_vec() });
        Ok(())
    }

    /// A store and, at once, its write-back: until the fence any of its words may be durable, in any order, as with
    /// stores past the caches.
    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        let len = from.len() as u64;
        OutOfRange::check(offset, len, self.size())?;
        self.0.memory.tally.streamed(len);
        self.0.memory.bytes.borrow_mut()[offset as usize..][..from.len()].copy_from_slice(from);
        self.0.memory.note(|| Event::Store { offset, bytes: from.to_vec() });
        self.0.memory.note(|| Event::WriteBack(offset..offset + len));
        Ok(())
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, len, self.size())?;
        self.store(offset, &vec![byte; len as usize])
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(range.start, range.end.saturating_sub(range.start), self.size())?;
        self.0.memory.tally.written_back(lines_touched(&range));
        self.0.memory.note(|| Event::WriteBack(range));
        Ok(())
    }

    fn fence(&self) {
        self.0.memory.tally.fence();
        self.0.memory.note(|| Event::Fence);
    }
}

impl Medium for Memory {
    type Reader<'g> = Grant<'g>;
    type Writer<'g> = WriteGrant<'g>;

    fn shorten<'short, 'long: 'short>(reader: Grant<'long>) -> Grant<'short> {
        reader
    }

    fn len(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn read<R>(&self, f: impl for<'g> FnOnce(Grant<'g>) -> R) -> Result<R, Gone> {
        self.tally.read_grant();
        Ok(f(Grant { memory: self, _thread: PhantomData }))
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(WriteGrant<'g>) -> R) -> Result<R, Gone> {
        self.tally.write_grant();
        Ok(f(WriteGrant(Grant { memory: self, _thread: PhantomData })))
    }

    fn media_errors(&self) -> usize {
        self.reported.get()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        self.bad.borrow()[..self.reported.get()].to_vec()
    }

    fn counters(&self) -> Counters {
        self.tally.snapshot()
    }
}
