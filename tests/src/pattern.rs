//! Image files filled with a pattern, so that every byte that a guest changes is found.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::PathBuf;

use tempfile::TempDir;
use xtask::image::PmemImage;

/// An image file that held the pattern when it was made. The file goes away with this.
#[derive(Debug)]
pub struct Pattern {
    path: PathBuf,
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

/// The eight bytes of the pattern at word `index`: a mixing function of both (from MurmurHash3's finaliser). Every byte has
/// its highest bit set, so that no zero and no ASCII character that a guest stores is there already.
fn word(seed: u64, index: u64) -> [u8; 8] {
    let mut mixed = (index ^ seed << 40).wrapping_add(1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^= mixed >> 33;
    (mixed | 0x8080_8080_8080_8080).to_le_bytes()
}

impl Pattern {
    /// Makes an image of `length` bytes. The first `patterned` bytes get the pattern that belongs to `seed`, the others are zero.
    pub fn new(length: u64, patterned: u64, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("pmem{seed}.img"));
        let file = File::create_new(&path).unwrap();
        file.set_len(length).unwrap();
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        for index in 0..patterned / 8 {
            writer.write_all(&word(seed, index)).unwrap();
        }
        writer.flush().unwrap();
        Self { path, seed, patterned, _directory: directory }
    }

    /// The image, locked, for a machine.
    pub fn open(&self) -> PmemImage {
        PmemImage::open(&self.path, None).unwrap()
    }

    /// Everything that is not as it was made, in order.
    pub fn changes(&self) -> Vec<Change> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(&self.path).unwrap());
        let length = self.path.metadata().unwrap().len();
        let mut changes: Vec<Change> = Vec::new();
        let mut found = [0; 8];
        for index in 0..length / 8 {
            reader.read_exact(&mut found).unwrap();
            let expected = if index < self.patterned / 8 { word(self.seed, index) } else { [0; 8] };
            if found != expected {
                let pairs = (index * 8..).zip(found.into_iter().zip(expected));
                pairs.filter(|(_, (is, was))| is != was).for_each(|(offset, (is, _))| note(&mut changes, offset, is));
            }
        }
        changes
    }

    /// The bytes that the pattern has in this range.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        range.map(|offset| word(self.seed, offset / 8)[(offset % 8) as usize]).collect()
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
        let expected = [Change { offset: 4090, bytes: flipped }, Change { offset: 16 * MIB - 1, bytes: vec![1] }];
        assert_eq!(image.changes(), expected);
    }

    #[test]
    fn two_seeds_and_two_places_have_different_patterns() {
        let (first, second) = (Pattern::new(16 * MIB, 8, 0), Pattern::new(16 * MIB, 8, 1));
        assert_ne!(first.bytes(0..64), second.bytes(0..64));
        assert_ne!(first.bytes(0..64), first.bytes(64..128));
    }
}
