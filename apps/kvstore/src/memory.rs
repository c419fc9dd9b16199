//! The memory that clients' requests and replies take together. It is asked for before it is taken, so that who cannot
//! have it is the only one to notice.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// There is no memory for what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

/// The size of a client's first buffer for requests, and for replies, in bytes.
pub const FIRST: usize = 4 * 1024;
/// The part of the memory that only first buffers may have: so many clients are always heard and answered, whatever
/// the others hold.
const KEPT: usize = 4;

/// The memory of all clients. Clones share it.
#[derive(Clone)]
pub struct Memory(Rc<Counts>);

struct Counts {
    limit: usize,
    used: Cell<usize>,
    wanted: Cell<usize>,
    spares: Spares,
}

/// First buffers that clients have given back, for who needs one next: they are not asked of the heap, nor filled.
/// Those of a kind are of one capacity.
#[derive(Default)]
pub struct Spares {
    requests: Stock<u8>,
    arguments: Stock<Range<usize>>,
    replies: Stock<u8>,
}

/// Spares of one kind.
type Stock<T> = RefCell<Vec<Vec<T>>>;
/// Which kind.
pub type Kind<T> = fn(&Spares) -> &Stock<T>;

/// Most spares of a kind.
const SPARES: usize = 64;
/// Most memory of all spares together, in bytes, which count as free: if no more is, there are none.
const SPARE_BYTES: usize = 3 * SPARES * FIRST;

impl Memory {
    /// Memory of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Rc::new(Counts { limit, used: Cell::new(0), wanted: Cell::new(0), spares: Spares::default() }))
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Bytes that more than first buffers may still take.
    pub fn free(&self) -> usize {
        (self.0.limit - self.0.limit / KEPT).saturating_sub(self.used())
    }

    /// Whether there is room by now for what was asked for in vain the last time.
    pub fn has_room(&self) -> bool {
        self.would_have_room(0)
    }

    /// The same, if `more` bytes were given back.
    pub fn would_have_room(&self, more: usize) -> bool {
        let wanted = self.0.wanted.get();
        wanted <= self.free_for(wanted) + more
    }

    /// What was asked for in vain the last time was the last part of something larger: `before` bytes of it were there,
    /// and have been given back.
    pub fn want_also(&self, before: usize) {
        self.0.wanted.set(self.0.wanted.get() + before);
    }

    /// Bytes that a piece of this length may take.
    fn free_for(&self, bytes: usize) -> usize {
        match bytes {
            0..=FIRST => self.0.limit.saturating_sub(self.used()),
            _ => self.free(),
        }
    }

    /// How many clients can have their first buffers at any time.
    pub fn clients(limit: usize) -> usize {
        limit / KEPT / (2 * FIRST)
    }

    /// An account of no bytes.
    pub fn charge(&self) -> Charge {
        Charge { memory: self.clone(), bytes: 0 }
    }
}

impl Counts {
    fn has_room_for_spares(&self) -> bool {
        self.limit.saturating_sub(self.used.get()) >= SPARE_BYTES
    }
}

impl Spares {
    /// For requests. All of such a buffer is in use.
    pub fn requests(&self) -> &Stock<u8> {
        &self.requests
    }

    /// For where a request's arguments are.
    pub fn arguments(&self) -> &Stock<Range<usize>> {
        &self.arguments
    }

    /// For replies.
    pub fn replies(&self) -> &Stock<u8> {
        &self.replies
    }

    #[cold]
    fn clear(&self) {
        self.requests.take();
        self.arguments.take();
        self.replies.take();
    }
}

/// What one buffer takes of the memory; it is given back when this goes.
pub struct Charge {
    memory: Memory,
    bytes: usize,
}

impl Charge {
    /// Bytes taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fails if so much more is not there.
    pub fn check(&self, bytes: usize) -> Result<(), NoMemory> {
        if bytes <= self.memory.free_for(bytes) {
            return Ok(());
        }
        self.memory.0.wanted.set(bytes);
        Err(NoMemory)
    }

    /// Takes more, or nothing.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.check(bytes)?;
        let used = &self.memory.0.used;
        used.set(used.get() + bytes);
        self.bytes += bytes;
        if !self.memory.0.has_room_for_spares() {
            self.memory.0.spares.clear();
        }
        Ok(())
    }

    /// What it is for takes so many bytes by now, and no more.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.shrink(self.bytes.saturating_sub(bytes));
    }

    /// Gives back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let used = &self.memory.0.used;
        used.set(used.get() - bytes);
    }

    /// Makes room for `capacity` entries in all in `entries`, whose memory this charge is. Both the old and the new
    /// place are paid for while one is copied to the other.
    pub fn reserve<T>(&mut self, entries: &mut Vec<T>, capacity: usize) -> Result<(), NoMemory> {
        if capacity <= entries.capacity() {
            return Ok(());
        }
        let (old, new) = (entries.capacity() * size_of::<T>(), capacity.saturating_mul(size_of::<T>()));
        self.grow(new)?;
        if entries.try_reserve_exact(capacity - entries.len()).is_err() {
            self.shrink(new);
            self.memory.0.wanted.set(new);
            return Err(NoMemory);
        }
        self.shrink(old);
        Ok(())
    }

    /// As [`Self::reserve`] for first entries of this kind, which have that capacity: they may be spare ones, with what
    /// is in them.
    pub fn reserve_first<T>(&mut self, entries: &mut Vec<T>, capacity: usize, kind: Kind<T>) -> Result<(), NoMemory> {
        let spare = if entries.capacity() == 0 { self.take_spare(kind) } else { None };
        let Some(spare) = spare else { return self.reserve(entries, capacity) };
        self.grow(capacity * size_of::<T>())?;
        *entries = spare;
        Ok(())
    }

    /// As [`Self::release`] for `entries` that may be first ones of this kind, which have that capacity.
    pub fn release_first<T>(&mut self, entries: &mut Vec<T>, capacity: usize, kind: Kind<T>) {
        let entries = std::mem::take(entries);
        self.shrink(entries.capacity() * size_of::<T>());
        if entries.capacity() == capacity {
            self.keep_spare(entries, kind);
        }
    }

    /// A spare buffer, which is not paid for yet.
    pub fn take_spare<T>(&self, kind: Kind<T>) -> Option<Vec<T>> {
        kind(&self.memory.0.spares).borrow_mut().pop()
    }

    /// Keeps a first buffer, which is not paid for any more, as a spare one.
    pub fn keep_spare<T>(&self, buffer: Vec<T>, kind: Kind<T>) {
        let mut spares = kind(&self.memory.0.spares).borrow_mut();
        let has_room = spares.len() < SPARES && self.memory.0.has_room_for_spares();
        if has_room && spares.try_reserve(1).is_ok() {
            spares.push(buffer);
        }
    }

    /// Gives back the memory of `entries`, whose charge this is.
    pub fn release<T>(&mut self, entries: &mut Vec<T>) {
        self.shrink(entries.capacity() * size_of::<T>());
        *entries = Vec::new();
    }
}

/// Bytes that are paid for.
pub struct Buffer {
    bytes: Vec<u8>,
    charge: Charge,
}

impl Buffer {
    /// An empty one.
    pub fn new(memory: &Memory) -> Self {
        Self { bytes: Vec::new(), charge: memory.charge() }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.charge.bytes()
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Makes room for `length` bytes in all.
    pub fn reserve(&mut self, length: usize) -> Result<(), NoMemory> {
        self.charge.reserve(&mut self.bytes, length)
    }

    /// Lets `read` append at most `most` bytes.
    pub fn read<R>(&mut self, most: usize, read: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, NoMemory> {
        self.reserve(self.bytes.len() + most)?;
        Ok(read(&mut self.bytes))
    }

    /// Makes it at least `length` bytes long; what is added is zero.
    pub fn extend_to(&mut self, length: usize) -> Result<(), NoMemory> {
        self.reserve(length)?;
        self.bytes.resize(self.bytes.len().max(length), 0);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_given() {
        let memory = Memory::new(64 * 1024);
        let (mut one, mut two) = (memory.charge(), memory.charge());
        assert_eq!(one.grow(48 * 1024), Ok(()));
        assert_eq!((two.grow(FIRST + 1), memory.has_room()), (Err(NoMemory), false));
        assert_eq!((two.bytes(), memory.used(), memory.free()), (0, 48 * 1024, 0));
        one.shrink(8 * 1024);
        assert!(memory.has_room());
        assert_eq!(two.grow(FIRST + 1), Ok(()));
        drop(one);
        assert_eq!(memory.used(), FIRST + 1);
    }

    #[test]
    fn a_first_buffer_is_used_again_unless_memory_is_short() {
        let requests: Kind<u8> = Spares::requests;
        let memory = Memory::new(1 << 20);
        let (mut charge, mut bytes) = (memory.charge(), Vec::new());
        assert_eq!(charge.reserve_first(&mut bytes, FIRST, requests), Ok(()));
        bytes.resize(FIRST, 0);
        charge.release_first(&mut bytes, FIRST, requests);
        assert_eq!((memory.used(), bytes.capacity()), (0, 0));
        assert_eq!(charge.reserve_first(&mut bytes, FIRST, requests), Ok(()));
        assert_eq!((memory.used(), bytes.len()), (FIRST, FIRST), "it is as it was");
        charge.release_first(&mut bytes, FIRST, requests);
        let mut greedy = memory.charge();
        assert_eq!(greedy.grow((1 << 20) - SPARE_BYTES + 1), Ok(()));
        assert!(charge.take_spare(requests).is_none());
        charge.keep_spare(vec![0; FIRST], requests);
        assert!(charge.take_spare(requests).is_none());
    }

    #[test]
    fn first_buffers_are_always_there() {
        let memory = Memory::new(64 * 1024);
        let mut greedy = memory.charge();
        while greedy.grow(5000).is_ok() {}
        let mut others: Vec<Charge> = (0..2 * Memory::clients(64 * 1024)).map(|_| memory.charge()).collect();
        assert_eq!(others.len(), 4);
        assert!(others.iter_mut().all(|other| other.grow(FIRST).is_ok()));
    }

    #[test]
    fn a_copy_is_paid_for_while_there_are_two() {
        let memory = Memory::new(64 * 1024);
        let (mut charge, mut bytes) = (memory.charge(), Vec::<u8>::new());
        assert_eq!(charge.reserve(&mut bytes, 20 * 1024), Ok(()));
        assert_eq!(charge.reserve(&mut bytes, 30 * 1024), Err(NoMemory), "20 and 30 of 48");
        assert_eq!((charge.bytes(), bytes.capacity()), (20 * 1024, 20 * 1024));
        assert_eq!(charge.reserve(&mut bytes, 28 * 1024), Ok(()));
        assert_eq!(memory.used(), 28 * 1024);
        charge.release(&mut bytes);
        assert_eq!((memory.used(), bytes.capacity()), (0, 0));
    }
}
