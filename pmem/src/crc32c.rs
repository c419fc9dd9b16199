//! CRC32C (Castagnoli, reflected polynomial 0x82F63B78, as in RFC 3720).
//!
//! On a host by the processor's `crc32` instruction, if it has that. On the guest by eight table look-ups for eight
//! bytes, on purpose: an emulated CPU works the instruction bit by bit and is several times slower with it.

#[cfg(any(test, not(feature = "std"), target_os = "hermit"))]
mod tables;

#[cfg(all(feature = "std", not(target_os = "hermit")))]
use instruction::update;
#[cfg(not(all(feature = "std", not(target_os = "hermit"))))]
use tables::update;

/// A CRC32C being computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    /// The checksum of no bytes.
    pub const fn new() -> Self {
        Crc32c(!0)
    }

    /// The checksum of the bytes so far followed by `bytes`.
    #[must_use]
    pub fn update(self, bytes: &[u8]) -> Self {
        Crc32c(update(self.0, bytes))
    }

    /// The checksum of the bytes so far.
    pub const fn value(self) -> u32 {
        !self.0
    }
}

/// The CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    Crc32c::new().update(bytes).value()
}

#[cfg(all(feature = "std", not(target_os = "hermit")))]
mod instruction {
    /// What `crc` is with `bytes` behind it.
    pub(super) fn update(crc: u32, bytes: &[u8]) -> u32 {
        !::crc32c::crc32c_append(!crc, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Crc32c, crc32c, tables};

    /// Vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn known_vectors() {
        let ascending: [u8; 32] = core::array::from_fn(|at| at as u8);
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(&ascending), 0x46DD_794E);
    }

    #[test]
    fn parts_make_the_same_as_the_whole() {
        let bytes: [u8; 100] = core::array::from_fn(|at| (at * 37) as u8);
        for split in 0..bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(Crc32c::new().update(first).update(second).value(), crc32c(&bytes));
        }
    }

    #[test]
    fn tables_make_the_same_as_the_instruction() {
        let bytes: [u8; 100] = core::array::from_fn(|at| (at * 37) as u8);
        for len in 0..bytes.len() {
            assert_eq!(!tables::update(!0, &bytes[..len]), crc32c(&bytes[..len]));
        }
    }
}
