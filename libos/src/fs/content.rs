//! A file's bytes.

use alloc::vec::Vec;

use super::Error;
use super::budget::Budget;

/// A file's memory comes in parts of this size at most.
const CHUNK: usize = 64 << 10;
/// The least that a part takes.
const LEAST: usize = 64;

/// The largest position in a file.
pub(super) const LARGEST: u64 = i64::MAX as u64;

/// A file's bytes.
#[derive(Debug)]
pub(super) enum Content {
    /// Those of the host's file, where the boot loader put them.
    Host(&'static [u8]),
    /// Those that the program wrote.
    Own(Chunks),
}

/// Bytes in chunks. What a chunk does not reach, and a chunk that is empty, reads as zero.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    length: u64,
    chunks: Vec<Vec<u8>>,
}

/// Where in the chunks a position is.
fn place(position: u64) -> (usize, usize) {
    let chunk = usize::try_from(position / CHUNK as u64).unwrap_or(usize::MAX);
    (chunk, (position % CHUNK as u64) as usize)
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Host(bytes) => bytes.len() as u64,
            Self::Own(chunks) => chunks.length,
        }
    }

    /// Reads from a position on; how many bytes, 0 at the end.
    pub(super) fn read(&self, position: u64, into: &mut [u8]) -> usize {
        let left = usize::try_from(self.length().saturating_sub(position)).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        match self {
            _ if count == 0 => {}
            Self::Host(bytes) => into[..count].copy_from_slice(&bytes[position as usize..][..count]),
            Self::Own(chunks) => chunks.read(position, &mut into[..count]),
        }
        count
    }

    /// The bytes that the program wrote; `None` if they are the host's.
    pub(super) fn own(&mut self) -> Option<&mut Chunks> {
        match self {
            Self::Host(_) => None,
            Self::Own(chunks) => Some(chunks),
        }
    }
}

impl Chunks {
    fn read(&self, mut position: u64, mut into: &mut [u8]) {
        while !into.is_empty() {
            let (chunk, offset) = place(position);
            let (now, later) = into.split_at_mut(into.len().min(CHUNK - offset));
            let there = self.chunks.get(chunk).and_then(|bytes| bytes.get(offset..)).unwrap_or_default();
            let count = there.len().min(now.len());
            now[..count].copy_from_slice(&there[..count]);
            now[count..].fill(0);
            position += now.len() as u64;
            into = later;
        }
    }

    /// Writes from a position on, as far as there is RAM; how many bytes.
    pub(super) fn write(&mut self, position: u64, from: &[u8], budget: &mut Budget) -> Result<usize, Error> {
        if position > LARGEST - from.len() as u64 {
            return Err(Error::TooLarge);
        }
        let mut written = 0;
        while written < from.len() {
            let (chunk, offset) = place(position + written as u64);
            let count = (from.len() - written).min(CHUNK - offset);
            match self.chunk(chunk, offset + count, budget) {
                Ok(bytes) => bytes[offset..offset + count].copy_from_slice(&from[written..written + count]),
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
            written += count;
        }
        if written > 0 {
            self.length = self.length.max(position + written as u64);
        }
        Ok(written)
    }

    /// The chunk with this number, made long enough for `end` bytes.
    fn chunk(&mut self, number: usize, end: usize, budget: &mut Budget) -> Result<&mut Vec<u8>, Error> {
        if number >= self.chunks.len() {
            // Doubled, so that a file that grows is not copied each time; or what is just needed.
            let more = [self.chunks.len().max(4), 0].map(|spare| (number + 1 - self.chunks.len()).max(spare));
            reserve(&mut self.chunks, more[0], budget).or_else(|_| reserve(&mut self.chunks, more[1], budget))?;
            self.chunks.resize_with(number + 1, Vec::new);
        }
        let chunk = &mut self.chunks[number];
        if end > chunk.len() {
            let size = end.next_power_of_two().max(LEAST);
            reserve(chunk, size - chunk.len(), budget)?;
            chunk.resize(end, 0);
        }
        Ok(chunk)
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self, budget: &mut Budget) {
        self.chunks.iter().for_each(|chunk| budget.give_back(chunk.capacity()));
        budget.give_back(self.chunks.capacity() * size_of::<Vec<u8>>());
        *self = Self::default();
    }

    /// How many bytes of RAM it takes.
    pub(super) fn allocated(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.capacity() as u64).sum()
    }
}

/// Makes room for so many elements more in a vector, within the budget.
pub(super) fn reserve<T>(vector: &mut Vec<T>, more: usize, budget: &mut Budget) -> Result<(), Error> {
    let capacity = vector.len().checked_add(more).ok_or(Error::NoSpace)?;
    if capacity <= vector.capacity() {
        return Ok(());
    }
    let before = vector.capacity();
    let bytes = (capacity - before).checked_mul(size_of::<T>()).ok_or(Error::NoSpace)?;
    budget.take(bytes)?;
    if vector.try_reserve_exact(more).is_err() {
        budget.give_back(bytes);
        return Err(Error::NoSpace);
    }
    // The allocator may have given more than was asked for: what is given back later is the capacity.
    let extra = (vector.capacity() - before) * size_of::<T>() - bytes;
    if budget.take(extra).is_err() {
        vector.shrink_to(capacity);
    }
    Ok(())
}
