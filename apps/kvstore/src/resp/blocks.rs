//! A queue of bytes in blocks: it grows without moving what is there, and gives back what has been taken.

use std::collections::VecDeque;

use crate::memory::{Charge, FIRST, Memory, NoMemory, Spares};

/// The longest block that is made for its own sake, in bytes.
const LONGEST: usize = 64 * 1024;
/// A block is this many times as long as the one before it, until they are long.
const STEP: usize = 4;
/// What a block costs in the list of blocks, which has room for twice as many as there are.
const ENTRY: usize = 2 * size_of::<Vec<u8>>();
/// The length of the first block, in bytes.
const FIRST_BLOCK: usize = FIRST - ENTRY;

/// Bytes that are appended at the end and taken at the start. No block is empty, except for the last one.
pub struct Blocks {
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that have been taken.
    taken: usize,
    /// Bytes that have not been taken.
    len: usize,
    charge: Charge,
    /// Something that was to be appended found no memory.
    short: bool,
}

impl Blocks {
    /// An empty queue that takes no memory.
    pub fn new(memory: &Memory) -> Self {
        Self { blocks: VecDeque::new(), taken: 0, len: 0, charge: memory.charge(), short: false }
    }

    /// Bytes in the queue.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.charge.bytes()
    }

    /// The bytes at the start that lie in one piece.
    pub fn front(&self) -> &[u8] {
        self.blocks.front().map_or(&[], |block| &block[self.taken..])
    }

    /// Takes `count` bytes of [`Self::front`].
    pub fn take(&mut self, count: usize) {
        let Some(first) = self.blocks.front() else { return };
        let count = count.min(first.len() - self.taken);
        self.len -= count;
        self.taken += count;
        if self.taken == first.len() {
            self.taken = 0;
            let first = self.blocks.pop_front();
            self.give_back(first);
        }
    }

    /// Takes back what was appended last, so that `len` bytes are left, and forgets that memory was short.
    pub fn truncate(&mut self, len: usize) {
        self.short = false;
        while self.len > len {
            let taken = if self.blocks.len() == 1 { self.taken } else { 0 };
            let Some(last) = self.blocks.back_mut() else { return };
            let (here, excess) = (last.len() - taken, self.len - len);
            if here > excess {
                last.truncate(last.len() - excess);
                self.len = len;
                return;
            }
            self.len -= here;
            let last = self.blocks.pop_back();
            self.give_back(last);
        }
        if self.blocks.is_empty() {
            self.taken = 0;
        }
    }

    /// Forgets everything, and gives its memory back.
    pub fn clear(&mut self) {
        self.truncate(0);
        let last = self.blocks.pop_back();
        self.give_back(last);
    }

    /// Whether something is missing because there was no memory for it.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Fails if there is no memory for `bytes` more.
    pub fn check(&self, bytes: usize) -> Result<(), NoMemory> {
        let room = self.blocks.back().map_or(0, |last| last.capacity() - last.len());
        self.charge.check(bytes.saturating_sub(room))
    }

    /// Makes sure that there is room for at least `room` bytes in the last block.
    #[inline]
    pub fn reserve(&mut self, room: usize) -> Result<(), NoMemory> {
        match self.blocks.back() {
            Some(last) if last.capacity() - last.len() >= room => Ok(()),
            _ => self.open(room),
        }
    }

    /// Has `fill` append to a block, where there is room for at least `room` bytes; it is told for how many.
    pub fn append<R>(&mut self, room: usize, fill: impl FnOnce(&mut Vec<u8>, usize) -> R) -> Result<R, NoMemory> {
        self.reserve(room)?;
        let last = self.blocks.back_mut().ok_or(NoMemory)?;
        let before = last.len();
        let result = fill(last, last.capacity() - before);
        self.len = self.len + last.len() - before;
        Ok(result)
    }

    /// Appends `bytes`. Where there is no memory they are missing, and [`Self::is_short`].
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        match self.blocks.back_mut() {
            Some(last) if last.capacity() - last.len() >= bytes.len() && !self.short => {
                last.extend_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.extend_in_pieces(bytes),
        }
    }

    #[cold]
    fn extend_in_pieces(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.short {
            let appended = self.append(1, |block, room| {
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                block.extend_from_slice(now);
                bytes = later;
            });
            self.short = appended.is_err();
        }
    }

    /// Moves all from `from` on, which is little, to before what is at `to`.
    pub fn move_to(&mut self, to: usize, from: usize) {
        let mut moved = Vec::new();
        let mut at = self.len;
        for block in self.blocks.iter().rev() {
            let here = block.len().min(at - from);
            moved.splice(0..0, block[block.len() - here..].iter().copied());
            at -= here;
            if at == from {
                break;
            }
        }
        let short = self.short;
        self.truncate(from);
        self.short = short || self.insert(to, &moved).is_err();
    }

    /// Inserts `bytes` before the byte at `to`: within its block if there is room, else that block is cut in two.
    fn insert(&mut self, to: usize, bytes: &[u8]) -> Result<(), NoMemory> {
        let Some((index, at)) = self.place(to) else {
            self.extend(bytes);
            return Ok(());
        };
        let block = &mut self.blocks[index];
        if block.capacity() - block.len() >= bytes.len() {
            block.extend_from_slice(bytes);
            block[at..].rotate_right(bytes.len());
        } else {
            let behind = block.len() - at;
            let mut second = self.block(bytes.len() + behind)?;
            let first = &mut self.blocks[index];
            second.extend_from_slice(bytes);
            second.extend_from_slice(&first[at..]);
            first.truncate(at);
            if at > if index == 0 { self.taken } else { 0 } {
                self.blocks.insert(index + 1, second);
            } else {
                let emptied = self.blocks.remove(index);
                self.blocks.insert(index, second);
                self.give_back(emptied);
                self.taken = if index == 0 { 0 } else { self.taken };
            }
        }
        self.len += bytes.len();
        Ok(())
    }

    /// The block that the byte at `to` is in, and where.
    fn place(&self, to: usize) -> Option<(usize, usize)> {
        let mut end = self.len;
        for (index, block) in self.blocks.iter().enumerate().rev() {
            let start = end.saturating_sub(block.len());
            if to >= start {
                return Some((index, block.len() - (end - to)));
            }
            end = start;
        }
        None
    }

    /// Begins a block with room for `room` bytes.
    #[cold]
    fn open(&mut self, room: usize) -> Result<(), NoMemory> {
        if self.blocks.back().is_some_and(Vec::is_empty) {
            let empty = self.blocks.pop_back();
            self.give_back(empty);
        }
        let usual = self.blocks.back().map_or(FIRST_BLOCK, |last| (last.capacity() * STEP).min(LONGEST));
        let block = self.block(room.max(usual))?;
        self.blocks.push_back(block);
        Ok(())
    }

    /// A block of this capacity, with room for it in the list of blocks.
    fn block(&mut self, capacity: usize) -> Result<Vec<u8>, NoMemory> {
        self.charge.grow(capacity + ENTRY)?;
        let is_first = capacity == FIRST_BLOCK;
        let spare = if is_first { self.charge.take_spare(Spares::replies) } else { None };
        let mut block = spare.unwrap_or_default();
        if self.blocks.try_reserve(1).is_err() || block.try_reserve_exact(capacity).is_err() {
            self.charge.shrink(capacity + ENTRY);
            return Err(NoMemory);
        }
        Ok(block)
    }

    /// Gives back what a block took.
    fn give_back(&mut self, block: Option<Vec<u8>>) {
        if let Some(mut block) = block {
            self.charge.shrink(block.capacity() + ENTRY);
            if block.capacity() == FIRST_BLOCK {
                block.clear();
                self.charge.keep_spare(block, Spares::replies);
            }
        }
        if self.blocks.is_empty() && self.blocks.capacity() > STEP {
            self.blocks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(blocks: &Blocks) -> Vec<u8> {
        let mut all: Vec<u8> = blocks.blocks.iter().flatten().copied().collect();
        all.drain(..blocks.taken);
        assert_eq!(all.len(), blocks.len());
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A queue in blocks is a queue.
        #[test]
        fn bytes_come_out_as_they_went_in(steps in proptest::collection::vec((0u8..5, 0usize..40_000), 1..30)) {
            let memory = Memory::new(64 << 20);
            let (mut blocks, mut model) = (Blocks::new(&memory), Vec::new());
            for (step, (kind, amount)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => {
                        let bytes: Vec<u8> = (0..amount).map(|at| (at + step) as u8).collect();
                        blocks.extend(&bytes);
                        model.extend_from_slice(&bytes);
                    }
                    2 => {
                        let count = amount.min(blocks.front().len());
                        prop_assert_eq!(&blocks.front()[..count], &model[..count]);
                        blocks.take(count);
                        model.drain(..count);
                    }
                    3 => {
                        let len = model.len().saturating_sub(amount / 4);
                        blocks.truncate(len);
                        model.truncate(len);
                    }
                    _ => {
                        let (to, from) = (model.len().saturating_sub(amount), model.len());
                        blocks.extend(b"*123\r\n");
                        blocks.move_to(to, from);
                        model.splice(to..to, *b"*123\r\n");
                    }
                }
                prop_assert_eq!(&contents(&blocks), &model);
                prop_assert_eq!(blocks.front().is_empty(), model.is_empty());
                prop_assert_eq!(memory.used(), blocks.memory());
            }
            blocks.truncate(0);
            prop_assert!(blocks.memory() <= FIRST);
            drop(blocks);
            prop_assert_eq!(memory.used(), 0);
        }
    }

    #[test]
    fn what_finds_no_memory_is_missing_and_can_be_taken_back() {
        let memory = Memory::new(256 * 1024);
        let mut blocks = Blocks::new(&memory);
        blocks.extend(b"+OK\r\n");
        blocks.extend(&vec![b'x'; 300 * 1024]);
        assert!(blocks.is_short() && blocks.len() < 192 * 1024);
        blocks.truncate(5);
        assert!(!blocks.is_short() && blocks.memory() <= FIRST);
        assert_eq!(blocks.front(), b"+OK\r\n");
        blocks.take(5);
        assert_eq!((blocks.len(), blocks.memory(), memory.used()), (0, 0, 0));
    }
}
