//! Image files filled with a pattern, so that every byte that a guest changes is found.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

use fastrand::Rng;
use tempfile::TempDir;
use xtask::image::PmemImage;

use crate::random::random_bytes;

/// An image file that held the pattern when it was made. The file goes away with this.
#[derive(Debug)]
pub struct Pattern {
    path: PathBuf,
    length: u64,
    seed: u64,
    patterned: u64,
    _directory: TempDir,
}

/// Bytes in a row that are not as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The offset of the first one.
    pub offset: u64,
    /// What is there now.
    pub bytes: Vec<u8>,
}

impl Change {
    /// The offsets of the changed bytes.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }
}

/// The pattern's period in bytes: a prime, so that no two places that a program confuses have the same bytes around
/// them.
const PERIOD: usize = 1_048_573;

/// One period of the pattern. Every byte has its highest bit set, so that no zero and no ASCII character that a guest
/// stores is there already.
static BLOCK: LazyLock<Vec<u8>> =
    LazyLock::new(|| random_bytes(&mut Rng::with_seed(0), PERIOD).into_iter().map(|byte| byte | 0x80).collect());

/// The bytes of the pattern at `offset` and after it, at most `most` of them, and at least one.
pub(crate) fn piece(seed: u64, offset: u64, most: usize) -> &'static [u8] {
    let start = ((offset + seed * 7919) % PERIOD as u64) as usize;
    &BLOCK[start..PERIOD.min(start + most)]
}

impl Pattern {
    /// Makes an image of `length` bytes. The first `patterned` bytes get the pattern that belongs to `seed`, the others
    /// are zero.
    pub fn new(length: u64, patterned: u64, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("pmem{seed}.img"));
        let mut file = File::create_new(&path).unwrap();
        file.set_len(length).unwrap();
        let mut offset = 0;
        while offset < patterned {
            let bytes = piece(seed, offset, (patterned - offset) as usize);
            file.write_all(bytes).unwrap();
            offset += bytes.len() as u64;
        }
        Self { path, length, seed, patterned, _directory: directory }
    }

    /// The image, locked, for a machine.
    pub fn open(&self) -> PmemImage {
        PmemImage::open(&self.path, None).unwrap()
    }

    /// Everything that is not as it was made, in order.
    pub fn changes(&self) -> Vec<Change> {
        static ZEROS: [u8; PERIOD] = [0; PERIOD];
        let mut file = File::open(&self.path).unwrap();
        let length = file.metadata().unwrap().len();
        let (mut changes, mut found) = (Vec::new(), vec![0; PERIOD]);
        let mut offset = 0;
        while offset < length {
            let (end, in_pattern) = if offset < self.patterned { (self.patterned, true) } else { (length, false) };
            let most = PERIOD.min((end - offset) as usize);
            let expected = if in_pattern { piece(self.seed, offset, most) } else { &ZEROS[..most] };
            let found = &mut found[..expected.len()];
            file.read_exact(found).unwrap();
            if found != expected {
                let pairs = (offset..).zip(found.iter().zip(expected));
                pairs.filter(|(_, (is, was))| is != was).for_each(|(at, (&is, _))| note(&mut changes, at, is));
            }
            offset += expected.len() as u64;
        }
        changes
    }

    /// The image's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes that were in this range when the image was made.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        range.map(|offset| if offset < self.patterned { piece(self.seed, offset, 1)[0] } else { 0 }).collect()
    }

    /// What [`Self::changes`] finds when nothing has changed but that these bytes were stored at this offset.
    pub fn changes_by(&self, offset: u64, stored: &[u8]) -> Vec<Change> {
        let before = self.bytes(offset..offset + stored.len() as u64);
        let mut changes = Vec::new();
        let pairs = (offset..).zip(stored.iter().zip(&before));
        pairs.filter(|(_, (is, was))| is != was).for_each(|(at, (&is, _))| note(&mut changes, at, is));
        changes
    }
}

fn note(changes: &mut Vec<Change>, offset: u64, byte: u8) {
    match changes.last_mut() {
        Some(last) if last.range().end == offset => last.bytes.push(byte),
        _ => changes.push(Change { offset, bytes: vec![byte] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use xtask::size::MIB;

    #[test]
    fn a_fresh_image_has_no_changes_and_every_changed_byte_is_found() {
        let image = Pattern::new(16 * MIB, 4 * MIB, 1);
        assert_eq!(image.changes(), []);
        let file = File::options().write(true).open(&image.path).unwrap();
        let flipped: Vec<u8> = image.bytes(4090..4100).iter().map(|byte| !byte).collect();
        file.write_all_at(&flipped, 4090).unwrap();
        file.write_all_at(&[1], 16 * MIB - 1).unwrap();
        let expected =
            [Change { offset: 4090, bytes: flipped.clone() }, Change { offset: 16 * MIB - 1, bytes: vec![1] }];
        assert_eq!(image.changes(), expected);
        assert_eq!(image.changes_by(4090, &flipped), expected[..1]);
        assert_eq!(image.changes_by(16 * MIB - 2, &[0, 1]), expected[1..]);
    }

    #[test]
    fn two_seeds_and_two_places_have_different_patterns() {
        let (first, second) = (Pattern::new(16 * MIB, 8, 0), Pattern::new(16 * MIB, 8, 1));
        assert_ne!(first.bytes(0..64), second.bytes(0..64));
        assert_ne!(first.bytes(0..64), first.bytes(64..128));
    }
}
