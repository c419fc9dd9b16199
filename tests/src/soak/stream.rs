//! The bytes of a stream, which follow from its seed. The guest program `soak` is compiled with this file too.

use fastrand::Rng;

/// A stream of bytes.
#[derive(Clone, Debug)]
pub struct Stream {
    random: Rng,
    word: [u8; 8],
    used: usize,
}

impl Stream {
    /// The stream of this seed, from its beginning.
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), word: [0; 8], used: 8 }
    }

    fn next(&mut self) -> u8 {
        if self.used == 8 {
            self.word = self.random.u64(..).to_le_bytes();
            self.used = 0;
        }
        self.used += 1;
        self.word[self.used - 1]
    }

    /// Makes these the next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next());
    }

    /// Whether these are the next bytes.
    pub fn check(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().fold(true, |right, &byte| right & (byte == self.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_any_pieces_and_no_other() {
        let mut whole = [0; 1000];
        Stream::new(7).fill(&mut whole);
        let mut stream = Stream::new(7);
        assert!(whole.chunks(13).all(|piece| stream.check(piece)));
        assert!(!Stream::new(8).check(&whole[..8]));
        let mut stream = Stream::new(7);
        assert!(stream.check(&whole[..100]) && !stream.check(&whole[101..200]), "a byte is missing");
    }
}
