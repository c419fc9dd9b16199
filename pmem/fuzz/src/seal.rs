//! Making checksums right after bytes under them were changed, so that what lies behind a checksum is fuzzed too.
//!
//! Written from `docs/pool-format.md` alone, and so a second opinion on it.

use std::ops::Range;

/// Where the first segment begins in every pool of ours, and how long each is.
pub(crate) const SEGMENT: usize = 64 << 10;
const UUID: Range<usize> = 16..32;

/// The Castagnoli checksum of some parts, one after the other, bit by bit.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    };
    !parts.iter().copied().flatten().fold(!0, step)
}

fn put(image: &mut [u8], at: usize, checksum: u32) {
    image[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Seals the superblock at `at`.
pub(crate) fn superblock(image: &mut [u8], at: usize) {
    // The first one says in its first word that the pool grows, which its checksum leaves out.
    let magic = if &image[at..at + 8] == b"HFGROWNG" { b"HOLDFAST" } else { &image[at..at + 8] };
    let checksum = crc32c(&[magic, &image[at + 8..at + 124]]);
    put(image, at + 124, checksum);
}

/// Seals the history record at `at`.
pub(crate) fn history(image: &mut [u8], at: usize) {
    let checksum = crc32c(&[&image[UUID], &image[at..at + 124]]);
    put(image, at + 124, checksum);
}

/// Seals the segment header at `at`.
pub(crate) fn header(image: &mut [u8], at: usize) {
    let checksum = crc32c(&[&image[UUID], &image[at + 8..at + 60]]);
    put(image, at + 60, checksum);
}

/// Seals the frame at `at` as far as the length in it allows.
pub(crate) fn frame(image: &mut [u8], at: usize) {
    let segment = at / SEGMENT * SEGMENT;
    let len = read_u32(image, at + 4) as usize;
    if (32..=SEGMENT / 2).contains(&len) && at + len <= segment + SEGMENT {
        let offset = (at as u64).to_le_bytes();
        let parts = [&image[UUID], &image[segment + 8..segment + 16], &offset, &image[at + 4..at + len]];
        let checksum = crc32c(&parts);
        put(image, at, checksum);
    }
}

/// Where the root of a checkpoint is.
pub(crate) const ROOT: usize = 4096;

/// Whether there is a checkpoint, by the look of its root.
pub(crate) fn has_root(image: &[u8]) -> bool {
    image.get(ROOT..ROOT + 8) == Some(b"HFCHKPNT")
}

/// Seals the root of a checkpoint.
pub(crate) fn root(image: &mut [u8]) {
    let checksum = crc32c(&[&image[UUID], &image[ROOT..ROOT + 60]]);
    put(image, ROOT + 60, checksum);
}

/// Where the blocks of a checkpoint begin, as far as they lie in its first segment and their lengths tell.
pub(crate) fn blocks(image: &[u8]) -> Vec<usize> {
    let generation = &image[ROOT + 24..ROOT + 32];
    let Some(first) = (1..9).map(|segment| segment * SEGMENT).find(|at| &image[at + 8..at + 16] == generation) else {
        return Vec::new();
    };
    let mut blocks = Vec::new();
    let mut at = first + 64;
    while at + 16 < first + SEGMENT - 64 && blocks.len() < 1000 {
        let len = read_u32(image, at + 4) as usize;
        if len < 16 || at + len > first + SEGMENT - 64 {
            break;
        }
        blocks.push(at);
        at += len;
    }
    blocks
}

/// Seals the block of a checkpoint at `at` as far as the length in it allows.
pub(crate) fn block(image: &mut [u8], at: usize) {
    let len = read_u32(image, at + 4) as usize;
    if (16..SEGMENT).contains(&len) && at + len <= image.len() {
        let (generation, batch) = (&image[ROOT + 24..ROOT + 32], &image[ROOT + 8..ROOT + 16]);
        let checksum = crc32c(&[&image[UUID], generation, batch, &image[at + 4..at + len]]);
        put(image, at, checksum);
    }
}

/// Where the frames of a segment begin, as far as their lengths tell.
pub(crate) fn frames(image: &[u8], segment: usize) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = segment + 64;
    while at + 32 <= segment + SEGMENT - 64 && frames.len() < 1000 {
        let len = read_u32(image, at + 4) as usize;
        if len < 32 || !len.is_multiple_of(8) {
            // The next batch begins in a line of its own.
            let next = at.next_multiple_of(64);
            if next == at {
                break;
            }
            at = next;
        } else {
            frames.push(at);
            at += len;
        }
    }
    frames
}

fn read_u32(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]])
}
