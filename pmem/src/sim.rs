//! Media in DRAM for tests: a plain one, and a model of what a power cut leaves of it.
//!
//! A [`Memory`] can record every store, write-back and fence. A [`Domain`] replays such a trace and keeps apart what is
//! durable from what is only visible: at any point it makes the images that a power cut could leave, line by line and
//! word by word. Words of eight bytes are never torn; nothing else is promised (see `docs/pool-format.md`).

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::ops::Range;

use crate::medium::{Counters, Gone, LINE, Load, Medium, OutOfRange, Store};
use crate::tally::Tally;

/// A medium in DRAM.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: RefCell<Vec<u8>>,
    trace: RefCell<Option<Vec<Event>>>,
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

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, into.len() as u64, self.size())?;
        into.copy_from_slice(&self.memory.bytes.borrow()[offset as usize..][..into.len()]);
        Ok(())
    }
}

impl Load for WriteGrant<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), OutOfRange> {
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

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, len, self.size())?;
        self.store(offset, &vec![byte; len as usize])
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(range.start, range.end.saturating_sub(range.start), self.size())?;
        self.0.memory.tally.written_back(&range);
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

    fn counters(&self) -> Counters {
        self.tally.snapshot()
    }
}

/// What is durable, and what is not yet.
#[derive(Clone, Debug)]
pub struct Domain {
    durable: Vec<u8>,
    /// By line: the words stored and not yet durable, in program order.
    pending: BTreeMap<u64, Vec<Word>>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    /// In bytes from the medium's start.
    offset: u64,
    value: [u8; 8],
    written_back: bool,
}

/// What a power cut leaves of the stores to one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// Those up to a number, in program order.
    First(usize),
    /// Those whose bit is set, from the first store on; stores beyond the 64th have bit 63.
    These(u64),
}

impl Domain {
    /// Begins with everything durable.
    pub fn new(durable: Vec<u8>) -> Domain {
        Domain { durable, pending: BTreeMap::new() }
    }

    /// Goes on by one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Store { offset, bytes } => self.store(*offset, bytes),
            Event::WriteBack(range) => {
                let lines = range.start / LINE..range.end.div_ceil(LINE);
                for (_, words) in self.pending.range_mut(lines) {
                    words.iter_mut().for_each(|word| word.written_back = true);
                }
            }
            Event::Fence => {
                for words in self.pending.values_mut() {
                    for word in words.extract_if(.., |word| word.written_back) {
                        self.durable[word.offset as usize..][..8].copy_from_slice(&word.value);
                    }
                }
                self.pending.retain(|_, words| !words.is_empty());
            }
        }
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let mut word = offset / 8 * 8;
        while word < end {
            let mut value = self.visible(word);
            for at in word.max(offset)..(word + 8).min(end) {
                value[(at - word) as usize] = bytes[(at - offset) as usize];
            }
            let words = self.pending.entry(word / LINE).or_default();
            words.push(Word { offset: word, value, written_back: false });
            word += 8;
        }
    }

    /// A word as a load sees it.
    fn visible(&self, offset: u64) -> [u8; 8] {
        let words = self.pending.get(&(offset / LINE)).into_iter().flatten();
        let mut value = [0; 8];
        value.copy_from_slice(&self.durable[offset as usize..][..8]);
        words.filter(|word| word.offset == offset).fold(value, |_, word| word.value)
    }

    /// How many lines have stores that are not yet durable.
    pub fn pending_lines(&self) -> usize {
        self.pending.len()
    }

    /// How many lines have stores that were not even written back: at an acknowledgement, a defect.
    pub fn dirty_lines(&self) -> usize {
        self.pending.values().filter(|words| words.iter().any(|word| !word.written_back)).count()
    }

    /// An image that a power cut could leave now: `choose` says for each pending line, by its position among them and
    /// its number of stores, which stores are kept.
    pub fn cut(&self, mut choose: impl FnMut(usize, usize) -> Keep) -> Vec<u8> {
        let mut image = self.durable.clone();
        for (line, words) in self.pending.values().enumerate() {
            let keep = choose(line, words.len());
            for (position, word) in words.iter().enumerate() {
                let kept = match keep {
                    Keep::Nothing => false,
                    Keep::Everything => true,
                    Keep::First(count) => position < count,
                    Keep::These(bits) => bits >> position.min(63) & 1 == 1,
                };
                if kept {
                    image[word.offset as usize..][..8].copy_from_slice(&word.value);
                }
            }
        }
        image
    }
}
