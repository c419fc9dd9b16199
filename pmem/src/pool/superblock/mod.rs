//! The superblock: what a pool is, how long, and how it is divided. It is there twice, at the start and at the end of
//! the medium. Written when the pool is formatted, and anew, as the next *epoch*, when one of these changes.

pub(crate) mod features;
mod find;
mod formatting;
mod geometry;
pub(crate) mod history;
mod rewrite;

use alloc::string::String;
use core::ops::Range;

use crate::crc32c::crc32c;
use crate::error::Error;
use crate::medium::LINE;
use crate::pool::checkpoint::ROOT;
use crate::pool::format::superblock::{self as field, LEN};
use crate::pool::{FORMAT_VERSION, OLDEST_VERSION, bad_ranges, format};

pub(crate) use features::{Features, TYPED};
pub(crate) use find::Found;
pub(crate) use geometry::Geometry;
use geometry::second_area;
use history::HistoryRecord;

/// First eight bytes of a superblock.
pub(crate) const MAGIC: [u8; 8] = *b"HOLDFAST";
/// In the place of the first superblock's magic while a format is under way.
const FORMATTING: [u8; 8] = *b"HFFORMAT";
/// In the place of a superblock's magic while that one is written anew. The other one counts.
const CHANGING: [u8; 8] = *b"HFCHANGE";
/// In the place of the first superblock's magic while the pool grows. It counts; there may be no second one.
const GROWING: [u8; 8] = *b"HFGROWNG";
/// Bytes set aside for each of the two. What of them is behind what is written is zero.
pub(crate) const AREA: u64 = 4096;
/// Bytes written in each: the superblock and, from version 2 on, the history record.
const WRITTEN: usize = LEN + format::history::LEN;
/// Where small segments begin. What lies between the first superblock and segment 0 is reserved.
const FIRST_SEGMENT: u64 = 64 << 10;

const _: () = {
    assert!(AREA <= ROOT && ROOT + LINE <= bad_ranges::AREA.start && bad_ranges::AREA.end <= FIRST_SEGMENT);
    // The magic is stored by itself, before and after all else.
    assert!(field::MAGIC.at == 0 && field::MAGIC.end() == 8);
};

/// A pool's identity and division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub version: u32,
    pub features: Features,
    pub uuid: [u8; 16],
    pub label: String,
    /// How often the superblock was written. Of two valid ones the higher counts.
    pub epoch: u64,
    pub geometry: Geometry,
    /// Version 1 has none.
    pub history: Option<HistoryRecord>,
}

impl Superblock {
    /// What is written in an area.
    fn encode_area(&self) -> [u8; WRITTEN] {
        let mut bytes = [0; WRITTEN];
        bytes[..LEN].copy_from_slice(&self.encode());
        if let Some(history) = &self.history {
            bytes[LEN..].copy_from_slice(&history.encode(&self.uuid));
        }
        bytes
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        field::MAGIC.put(&mut bytes, MAGIC);
        field::VERSION.put(&mut bytes, self.version.to_le_bytes());
        field::SEGMENT_SIZE.put(&mut bytes, self.geometry.segment_size.to_le_bytes());
        field::UUID.put(&mut bytes, self.uuid);
        field::MEDIUM_LEN.put(&mut bytes, self.geometry.len.to_le_bytes());
        field::FIRST_SEGMENT.put(&mut bytes, self.geometry.first_segment.to_le_bytes());
        field::SEGMENTS.put(&mut bytes, self.geometry.segments.to_le_bytes());
        field::EPOCH.put(&mut bytes, self.epoch.to_le_bytes());
        field::FEATURES_TO_READ.put(&mut bytes, self.features.to_read.to_le_bytes());
        field::FEATURES_TO_WRITE.put(&mut bytes, self.features.to_write.to_le_bytes());
        bytes[field::LABEL.range()][..self.label.len()].copy_from_slice(self.label.as_bytes());
        let checksum = crc32c(&bytes[..field::CHECKSUM.at]);
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    /// Reads one superblock, without the history record behind it. `Ok(None)`: not a superblock, or a damaged one.
    fn decode(bytes: &[u8]) -> Result<Option<Superblock>, Error> {
        let checksum = field::CHECKSUM.u32(bytes);
        if field::MAGIC.get(bytes) != MAGIC || crc32c(&bytes[..field::CHECKSUM.at]) != checksum {
            return Ok(None);
        }
        // The magic, the version and the checksum's place stay what they are in every version.
        let version = field::VERSION.u32(bytes);
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&version) {
            return Err(Error::NewerVersion { found: version });
        }
        let features =
            Features { to_read: field::FEATURES_TO_READ.u64(bytes), to_write: field::FEATURES_TO_WRITE.u64(bytes) };
        features.check_readable(version)?;
        let geometry = Geometry {
            len: field::MEDIUM_LEN.u64(bytes),
            first_segment: field::FIRST_SEGMENT.u64(bytes),
            segment_size: field::SEGMENT_SIZE.u32(bytes),
            segments: field::SEGMENTS.u32(bytes),
        };
        let label = bytes[field::LABEL.range()].split(|byte| *byte == 0).next().unwrap_or_default();
        let label = String::from_utf8_lossy(label).into_owned();
        let (uuid, epoch) = (field::UUID.get(bytes), field::EPOCH.u64(bytes));
        // One more is written some time.
        let sound = geometry.is_sound() && epoch < u64::MAX;
        Ok(sound.then_some(Superblock { version, features, uuid, label, epoch, geometry, history: None }))
    }

    /// Refuses a pool that this program may read only.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.features.check_writable(self.version)
    }

    /// The parts of the medium outside segments that are zero in every pool.
    pub(crate) fn reserved(&self) -> [Range<u64>; 4] {
        let second = second_area(self.geometry.len);
        let first = self.geometry.first_segment;
        let written = if self.history.is_some() { WRITTEN } else { LEN } as u64;
        let end = second + written..second + AREA;
        [written..ROOT, ROOT + LINE..bad_ranges::AREA.start, bad_ranges::AREA.end..first, end]
    }
}
