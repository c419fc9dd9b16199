//! Bytes that look random and are the same on every run.

use fastrand::Rng;

/// The next `length` bytes of a generator.
pub fn random_bytes(random: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}
