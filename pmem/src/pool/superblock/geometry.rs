//! How a pool divides its medium.

use super::{AREA, FIRST_SEGMENT};
use crate::error::Error;
use crate::pool::segment;

/// The least and the most bytes per segment.
pub(super) const SEGMENT_SIZES: core::ops::RangeInclusive<u32> = 64 << 10..=4 << 20;
/// Segments of this length or more begin at multiples of it.
pub(super) const ALIGNED: u32 = 2 << 20;
/// Fewer segments leave no room to clean in.
pub(super) const LEAST_SEGMENTS: u64 = 8;
/// The most segments. Bounds what opening a nonsensical superblock could ask of DRAM.
const MOST_SEGMENTS: u64 = 1 << 24;

/// How a pool divides its medium. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The medium's length.
    pub len: u64,
    /// Where segment 0 begins.
    pub first_segment: u64,
    /// The length of every segment, a power of two.
    pub segment_size: u32,
    /// How many segments there are.
    pub segments: u32,
}

impl Geometry {
    /// Divides a medium of `len` bytes.
    pub(super) fn choose(len: u64, segment_size: Option<u32>) -> Result<Geometry, Error> {
        let size = match segment_size {
            Some(size) if size.is_power_of_two() && SEGMENT_SIZES.contains(&size) => size,
            Some(_) => return Err(Error::BadOption("the segment size is not a power of two from 64 KiB to 4 MiB")),
            // At least 64 segments where that is possible, of at most 2 MiB.
            None => 1 << (len / 64).max(1).ilog2().clamp(16, 21),
        };
        // Large segments begin at multiples of 2 MiB, as large pages do.
        let first_segment = if size >= ALIGNED { u64::from(ALIGNED) } else { FIRST_SEGMENT };
        let room = second_area(len).saturating_sub(first_segment);
        let segments = (room / u64::from(size)).min(MOST_SEGMENTS);
        if segments < LEAST_SEGMENTS {
            let least = first_segment + LEAST_SEGMENTS * u64::from(size) + AREA;
            return Err(Error::TooSmall { actual: len, least });
        }
        Ok(Geometry { len, first_segment, segment_size: size, segments: segments as u32 })
    }

    /// The same division of a medium that is `len` bytes long now, with more segments. If it is not longer by a page at
    /// least, nothing changes.
    pub(crate) fn grown(&self, len: u64) -> Result<Geometry, Error> {
        if len / AREA <= self.len / AREA {
            return Ok(*self);
        }
        let segments = (second_area(len) - self.first_segment) / u64::from(self.segment_size);
        if segments > MOST_SEGMENTS {
            return Err(Error::CannotGrow("a pool has at most 2^24 segments, and theirs stay as long as they are"));
        }
        let next = Geometry { len, segments: segments as u32, ..*self };
        if next.is_sound() { Ok(next) } else { Err(Error::CannotGrow("a pool is shorter than 2^43 bytes")) }
    }

    /// Whether the numbers fit each other, so that nothing computed from them leaves the medium.
    pub(super) fn is_sound(&self) -> bool {
        self.segment_size.is_power_of_two()
            && SEGMENT_SIZES.contains(&self.segment_size)
            && (LEAST_SEGMENTS..=MOST_SEGMENTS).contains(&u64::from(self.segments))
            && self.first_segment >= FIRST_SEGMENT
            && self.first_segment.is_multiple_of(AREA)
            && self.first_segment < self.len
            && self.len < 1 << 43
            && self.first_segment + u64::from(self.segments) * u64::from(self.segment_size) <= second_area(self.len)
    }

    /// Where batches end at most, in bytes from a segment's start.
    pub(crate) fn batch_limit(&self) -> u32 {
        self.segment_size - segment::TRAILER
    }

    /// The first byte of a segment.
    pub(crate) fn start_of(&self, segment: u32) -> u64 {
        self.first_segment + u64::from(segment) * u64::from(self.segment_size)
    }

    /// The segment that holds a byte, if one does.
    pub(crate) fn segment_at(&self, offset: u64) -> Option<u32> {
        // A division by the size, a power of two.
        let segment = offset.checked_sub(self.first_segment)? >> self.segment_size.trailing_zeros();
        u32::try_from(segment).ok().filter(|segment| *segment < self.segments)
    }
}

/// The second superblock's place in a medium of `len` bytes.
pub(super) fn second_area(len: u64) -> u64 {
    (len / AREA * AREA).saturating_sub(AREA)
}

#[cfg(test)]
mod tests {
    use super::{ALIGNED, Geometry};

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    /// Where a segment is as long as a large page, each lies in large pages of its own.
    #[test]
    fn large_segments_begin_at_multiples_of_large_pages_and_small_ones_lose_no_room() {
        for (len, segment_size, first_segment, segments) in [
            (MIB, None, 64 * KIB, 14),
            (64 * MIB, None, 64 * KIB, 63),
            (127 * MIB, None, 64 * KIB, 126),
            (128 * MIB, None, 2 * MIB, 62),
            (1024 * MIB, None, 2 * MIB, 510),
            (1024 * MIB, Some(4 << 20), 2 * MIB, 255),
            (1024 * MIB, Some(1 << 20), 64 * KIB, 1023),
        ] {
            let geometry = Geometry::choose(len, segment_size).unwrap();
            assert_eq!((geometry.first_segment, geometry.segments), (first_segment, segments), "{len}");
            assert!(geometry.is_sound());
            let is_aligned = |segment| geometry.start_of(segment).is_multiple_of(u64::from(ALIGNED));
            assert!(geometry.segment_size < ALIGNED || (0..segments).all(is_aligned), "{len}");
        }
        let few = Geometry::choose(MIB, None).unwrap();
        assert_eq!(few.grown(MIB + 4095).unwrap(), few);
        assert_eq!(few.grown(2 * MIB).unwrap(), Geometry { len: 2 * MIB, segments: 30, ..few });
        assert!(few.grown((1 << 40) + (1 << 39)).is_err(), "more segments than a pool may have");
        let large = Geometry::choose(1024 * MIB, None).unwrap();
        assert!(large.grown((1 << 43) - 4096).is_ok() && large.grown(1 << 43).is_err());

        let least = 2 * MIB + 8 * 2 * MIB + 4 * KIB;
        assert!(Geometry::choose(least, Some(2 << 20)).is_ok() && Geometry::choose(least - 1, Some(2 << 20)).is_err());
    }
}
