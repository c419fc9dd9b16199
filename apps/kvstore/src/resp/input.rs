//! The bytes that a client has sent and that have not been executed yet.

use crate::memory::{Charge, FIRST, Memory, NoMemory, Spares};

/// A byte queue: the network fills its end, the parser consumes its start.
///
/// All of `bytes` is initialised memory, so that filling it costs no zeroing; `start..end` is what is pending.
/// Each byte is moved at most a constant number of times on average, however large a request grows.
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    charge: Charge,
}

/// Above this size an emptied buffer gives its memory back, and one that grows without knowing how far does so by less
/// than its length, in bytes.
pub const KEEP: usize = 64 * 1024;
/// An argument whose length is known has a buffer of that length when so much of it is there, an eighth, and before
/// one of an eighth of the length, and so on: an announced length alone costs no memory, and the old buffer, which is
/// copied, is a small part of the new one.
const STEP: usize = 8;

impl Input {
    /// An empty one that takes no memory.
    pub fn new(memory: &Memory) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, charge: memory.charge() }
    }

    /// What has arrived and has not been consumed.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets the first `count` pending bytes.
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.end - self.start);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.bytes.len() > KEEP {
                self.charge.release(&mut self.bytes);
            }
        }
    }

    /// Gives its memory back if nothing is pending.
    pub fn rest(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.charge.release_first(&mut self.bytes, FIRST, Spares::requests);
        }
    }

    /// Room to read into, never empty: what follows the pending bytes. `wanted` is how many bytes the request that is
    /// arriving is known to lack; the buffer grows towards it in steps.
    pub fn room(&mut self, wanted: usize) -> Result<&mut [u8], NoMemory> {
        let pending = self.end - self.start;
        if self.start > 0 && (self.start >= pending || self.end == self.bytes.len()) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = pending;
        }
        if self.end == self.bytes.len() {
            let length = self.bytes.len();
            let grown = match wanted {
                0 => length + length.min((length / 8).max(KEEP)).max(FIRST),
                // The rest and a little for the next request's head, so that the last read is not a short one.
                _ => step_towards(length.saturating_add(wanted).saturating_add(FIRST / 2), length).max(FIRST),
            };
            match grown {
                FIRST => self.charge.reserve_first(&mut self.bytes, FIRST, Spares::requests)?,
                _ => self.charge.reserve(&mut self.bytes, grown)?,
            }
            self.bytes.resize(grown, 0);
        }
        Ok(&mut self.bytes[self.end..])
    }

    /// Says that the first `count` bytes of [`Self::room`] have been filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Bytes of memory that the buffer holds.
    pub fn memory(&self) -> usize {
        self.charge.bytes()
    }

    /// Appends `data`, as a socket would.
    #[cfg(test)]
    pub fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = self.room(0).unwrap();
            let count = room.len().min(data.len());
            room[..count].copy_from_slice(&data[..count]);
            self.filled(count);
            data = &data[count..];
        }
    }
}

/// The next length of a buffer of this `length` that is to have `target` bytes, which are more.
fn step_towards(target: usize, length: usize) -> usize {
    let mut next = target;
    while next / STEP > length {
        next /= STEP;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut input = Input::new(&Memory::new(8 << 20));
        let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let mut out = Vec::new();
        for piece in data.chunks(777) {
            input.push(piece);
            if input.pending().len() > 3000 {
                out.extend_from_slice(&input.pending()[..1000]);
                input.consume(1000);
            }
        }
        out.extend_from_slice(input.pending());
        assert_eq!(out, data);
        input.consume(usize::MAX);
        assert!(input.pending().is_empty());
        assert!(input.memory() <= KEEP, "an emptied buffer gives its memory back");
    }

    #[test]
    fn an_announced_length_costs_nothing_until_it_arrives() {
        let mut input = Input::new(&Memory::new(8 << 20));
        input.push(b"$536870912\r\n");
        assert!(input.room(512 << 20).unwrap().len() <= FIRST);
        assert!(input.memory() <= 2 * FIRST);
    }

    #[test]
    fn a_large_argument_needs_little_more_than_its_own_length() {
        const LENGTH: usize = 4 << 20;
        let memory = Memory::new((LENGTH + LENGTH / 4) / 3 * 4);
        let mut input = Input::new(&memory);
        while input.pending().len() < LENGTH {
            let count = input.room(LENGTH - input.pending().len()).unwrap().len();
            input.filled(count);
        }
        assert!(input.memory() <= LENGTH + FIRST);
        input.consume(usize::MAX);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn an_idle_buffer_takes_no_memory() {
        let memory = Memory::new(1 << 20);
        let mut input = Input::new(&memory);
        input.push(b"PING");
        input.rest();
        assert_eq!((input.pending(), memory.used()), (&b"PING"[..], FIRST));
        input.consume(4);
        input.rest();
        assert_eq!(memory.used(), 0);
        input.push(b"PING");
        assert_eq!(input.pending(), b"PING");
    }
}
