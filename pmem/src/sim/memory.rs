//! A medium in DRAM that can record what is done to it, and lets no store through to a page that is write-protected.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::ops::Range;

use crate::medium::{
    Counters, Gone, Load, LoadError, Medium, OutOfRange, PAGE, SharedCounters, Store, WriteError, WriteProtectError,
    lines_touched,
};

/// A medium in DRAM.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: RefCell<Vec<u8>>,
    trace: RefCell<Option<Vec<Event>>>,
    /// Ranges that cannot be read.
    bad: RefCell<Vec<Range<u64>>>,
    /// How many of them a load has met, or were told without one.
    reported: Cell<usize>,
    /// The numbers of the pages that may not be stored to.
    protected: RefCell<BTreeSet<u64>>,
    counters: SharedCounters,
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

    /// Whether a byte may be stored to in a write scope.
    pub fn is_writable(&self, offset: u64) -> bool {
        !self.protected.borrow().contains(&(offset / PAGE))
    }

    /// Stores, unless it is forbidden: then a test has found a defect, which on the guest would stop the machine.
    fn put(&self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if let Some(page) = self.protected.borrow().range(offset / PAGE..end.div_ceil(PAGE)).next() {
            let page = page * PAGE;
            panic!("a store to bytes {offset:#x}..{end:#x}, where the page at {page:#x} is write-protected");
        }
        self.bytes.borrow_mut()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        self.note(|| Event::Store { offset, bytes: bytes.to_vec() });
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
        self.memory.counters.loaded(into.len() as u64);
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
        self.0.memory.counters.stored(from.len() as u64);
        self.0.memory.put(offset, from);
        Ok(())
    }

    /// A store and, at once, its write-back: until the fence any of its words may be durable, in any order, as with
    /// stores past the caches.
    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        let len = from.len() as u64;
        OutOfRange::check(offset, len, self.size())?;
        self.0.memory.counters.streamed(len);
        self.0.memory.put(offset, from);
        self.0.memory.note(|| Event::WriteBack(offset..offset + len));
        Ok(())
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, len, self.size())?;
        self.store(offset, &vec![byte; len as usize])
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(range.start, range.end.saturating_sub(range.start), self.size())?;
        self.0.memory.counters.written_back(lines_touched(&range));
        self.0.memory.note(|| Event::WriteBack(range));
        Ok(())
    }

    fn fence(&self) {
        self.0.memory.counters.fence();
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
        self.counters.read_grant();
        Ok(f(Grant { memory: self, _thread: PhantomData }))
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(WriteGrant<'g>) -> R) -> Result<R, WriteError> {
        self.counters.write_grant();
        Ok(f(WriteGrant(Grant { memory: self, _thread: PhantomData })))
    }

    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        WriteProtectError::check(&range, self.len())?;
        let pages = range.start / PAGE..range.end / PAGE;
        let mut protected = self.protected.borrow_mut();
        match writable {
            true => protected.retain(|page| !pages.contains(page)),
            false => protected.extend(pages),
        }
        Ok(())
    }

    fn media_errors(&self) -> usize {
        self.reported.get()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        self.bad.borrow()[..self.reported.get()].to_vec()
    }

    fn counters(&self) -> Counters {
        self.counters.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::string::String;

    use super::*;

    /// What a store of these bytes panics with, if it does.
    fn refusal(memory: &Memory, store: impl FnOnce(WriteGrant<'_>) -> Result<(), OutOfRange>) -> Option<String> {
        let stored = catch_unwind(AssertUnwindSafe(|| memory.write(store).unwrap().unwrap()));
        stored.err().map(|panic| *panic.downcast::<String>().unwrap())
    }

    #[test]
    fn a_write_protected_page_takes_no_store_until_it_is_writable_again() {
        let memory = Memory::new(4 * PAGE + 100);
        memory.set_writable(PAGE..3 * PAGE, false).unwrap();
        memory.set_writable(2 * PAGE..3 * PAGE, true).unwrap();
        assert_eq!([0, 1, 2, 3].map(|page| memory.is_writable(page * PAGE)), [true, false, true, true]);
        let before = memory.image();
        memory.record();
        let told = refusal(&memory, |grant| grant.store(PAGE - 8, &[1; 16])).unwrap();
        assert_eq!(told, "a store to bytes 0xff8..0x1008, where the page at 0x1000 is write-protected");
        assert!(refusal(&memory, |grant| grant.stream(2 * PAGE - 8, &[1; 16])).is_some());
        assert!(refusal(&memory, |grant| grant.fill(0, 3 * PAGE, 1)).is_some());
        assert_eq!((memory.image() == before, memory.recorded()), (true, 0), "nothing of them was stored");
        for at in [PAGE - 8, 2 * PAGE] {
            assert_eq!(refusal(&memory, |grant| grant.store(at, &[1; 8])), None);
        }
        memory.set_writable(0..4 * PAGE, true).unwrap();
        assert_eq!(refusal(&memory, |grant| grant.fill(0, 4 * PAGE + 100, 1)), None);
    }

    #[test]
    fn what_is_no_range_of_pages_is_refused_and_changes_nothing() {
        let memory = Memory::new(4 * PAGE + 100);
        for range in [0..100, 100..PAGE, PAGE - 1..PAGE + 1] {
            assert_eq!(memory.set_writable(range.clone(), false), Err(WriteProtectError::Misaligned(range)));
        }
        for range in [0..5 * PAGE, 8 * PAGE..9 * PAGE, Range { start: PAGE, end: 0 }] {
            let out_of_range = OutOfRange { range: range.clone(), len: 4 * PAGE + 100 };
            assert_eq!(memory.set_writable(range, false), Err(WriteProtectError::OutOfRange(out_of_range)));
        }
        assert_eq!(memory.set_writable(PAGE..PAGE, false), Ok(()));
        assert!((0..5).all(|page| memory.is_writable(page * PAGE)));
    }
}
