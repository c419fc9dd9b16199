//! The bytes that a client has sent and that have not been executed yet.

/// A byte queue: the network fills its end, the parser consumes its start.
///
/// All of `bytes` is initialised memory, so that filling it costs no zeroing; `start..end` is what is pending.
/// Each byte is moved at most a constant number of times on average, however large a request grows.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// What a buffer grows to first: a typical pipeline of small commands fits.
const INITIAL: usize = 4 * 1024;
/// Above this size an emptied buffer gives its memory back.
const KEEP: usize = 64 * 1024;

impl Input {
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
                self.bytes = Vec::new();
            }
        }
    }

    /// Room to read into, never empty: what follows the pending bytes. `wanted` is how many bytes the request that is
    /// arriving is known to lack; the buffer grows towards it in steps, so that an announced length alone costs no
    /// memory.
    pub fn room(&mut self, wanted: usize) -> &mut [u8] {
        let pending = self.end - self.start;
        if self.start > 0 && (self.start >= pending || self.end == self.bytes.len()) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = pending;
        }
        if self.end == self.bytes.len() {
            let step = self.bytes.len().max(INITIAL);
            let grown = match wanted {
                0 => self.bytes.len() + step,
                // The rest and a little for the next request's head, so that the last read is not a short one.
                _ => self.bytes.len() + step.min(wanted + INITIAL),
            };
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Says that the first `count` bytes of [`Self::room`] have been filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Bytes of memory that the buffer holds.
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `data`, as a socket would.
    #[cfg(test)]
    pub fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = self.room(0);
            let count = room.len().min(data.len());
            room[..count].copy_from_slice(&data[..count]);
            self.filled(count);
            data = &data[count..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut input = Input::default();
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
        let mut input = Input::default();
        input.push(b"$536870912\r\n");
        assert!(input.room(512 << 20).len() <= INITIAL);
        assert!(input.memory() <= 2 * INITIAL);
    }
}
