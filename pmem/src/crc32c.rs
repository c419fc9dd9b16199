//! CRC32C (Castagnoli, reflected polynomial 0x82F63B78, as in RFC 3720), by eight table look-ups for eight bytes.
//!
//! The tables are used on purpose where the CPU has a `crc32` instruction too: an emulated CPU works the instruction
//! bit by bit and is several times slower with it.

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
        Crc32c(update_tables(self.0, bytes))
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

/// `TABLES[k][b]` is the effect of byte `b` followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let previous = tables[table - 1][byte];
            tables[table][byte] = (previous >> 8) ^ tables[0][(previous & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

fn update_tables(mut crc: u32, bytes: &[u8]) -> u32 {
    let (halves, rest) = bytes.as_chunks::<4>();
    let (words, half) = halves.as_chunks::<2>();
    // Each half by itself: the bytes of a word of eight take more instructions to come by.
    for [first, second] in words {
        crc = effect::<4>(u32::from_le_bytes(*first) ^ crc) ^ effect::<0>(u32::from_le_bytes(*second));
    }
    for half in half {
        crc = effect::<0>(u32::from_le_bytes(*half) ^ crc);
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xFF) as usize];
    }
    crc
}

/// The effect of four bytes followed by `ZEROS` zero bytes.
#[inline(always)]
fn effect<const ZEROS: usize>(bytes: u32) -> u32 {
    // Written out: a loop over the tables takes most of the time of an unoptimised build.
    let [a, b, c, d] = bytes.to_le_bytes();
    TABLES[ZEROS + 3][a as usize]
        ^ TABLES[ZEROS + 2][b as usize]
        ^ TABLES[ZEROS + 1][c as usize]
        ^ TABLES[ZEROS][d as usize]
}

#[cfg(test)]
mod tests {
    use super::{Crc32c, crc32c};

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
}
