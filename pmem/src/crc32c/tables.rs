//! CRC32C by tables: eight look-ups for eight bytes.

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

/// What `crc` is with `bytes` behind it.
pub(super) fn update(mut crc: u32, bytes: &[u8]) -> u32 {
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
