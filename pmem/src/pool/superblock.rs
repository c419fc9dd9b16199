//! The superblock: what a pool is, how long, and how it is divided. Written when the pool is formatted, twice: at the
//! start and at the end of the medium.

use alloc::string::String;
use core::ops::Range;

use crate::crc32c::crc32c;
use crate::error::Error;
use crate::medium::{LINE, Load, LoadError, Store};
use crate::pool::checkpoint::ROOT;
use crate::pool::format::superblock::{self as field, LEN};
use crate::pool::{FORMAT_VERSION, FormatOptions, bad, segment};

/// First eight bytes of a superblock.
pub(crate) const MAGIC: [u8; 8] = *b"HOLDFAST";
/// In the place of the first superblock's magic while a format is under way.
const FORMATTING: [u8; 8] = *b"HFFORMAT";
/// Bytes set aside for each of the two. What of them is behind the superblock itself is zero.
pub(crate) const AREA: u64 = 4096;
/// Where the segments begin. What lies between the first superblock and here is reserved.
const FIRST_SEGMENT: u64 = 64 << 10;
/// The least and the most bytes per segment.
pub(crate) const SEGMENT_SIZES: core::ops::RangeInclusive<u32> = 64 << 10..=4 << 20;
/// Fewer segments leave no room to clean in.
const LEAST_SEGMENTS: u64 = 8;
/// The most segments. Bounds what opening a nonsensical superblock could ask of DRAM.
const MOST_SEGMENTS: u64 = 1 << 24;

const _: () = {
    assert!(AREA <= ROOT && ROOT + LINE <= bad::AREA.start && bad::AREA.end <= FIRST_SEGMENT);
    // The magic is stored by itself, before and after all else.
    assert!(field::MAGIC.at == 0 && field::MAGIC.end() == 8);
};

/// How many segments are begun between two fences of a format. Pools of usual size have fewer.
const FENCED_SEGMENTS: u32 = 1 << 12;

/// A pool's identity and division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub uuid: [u8; 16],
    pub label: String,
    pub epoch: u64,
    pub geometry: Geometry,
}

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
    fn choose(len: u64, segment_size: Option<u32>) -> Result<Geometry, Error> {
        let size = match segment_size {
            Some(size) if size.is_power_of_two() && SEGMENT_SIZES.contains(&size) => size,
            Some(_) => return Err(Error::BadOption("the segment size is not a power of two from 64 KiB to 4 MiB")),
            // At least 64 segments where that is possible, of at most 2 MiB.
            None => 1 << (len / 64).max(1).ilog2().clamp(16, 21),
        };
        let room = second_area(len).saturating_sub(FIRST_SEGMENT);
        let segments = (room / u64::from(size)).min(MOST_SEGMENTS);
        if segments < LEAST_SEGMENTS {
            let least = FIRST_SEGMENT + LEAST_SEGMENTS * u64::from(size) + AREA;
            return Err(Error::TooSmall { actual: len, least });
        }
        Ok(Geometry { len, first_segment: FIRST_SEGMENT, segment_size: size, segments: segments as u32 })
    }

    /// Whether the numbers fit each other, so that nothing computed from them leaves the medium.
    fn is_sound(&self) -> bool {
        self.segment_size.is_power_of_two()
            && SEGMENT_SIZES.contains(&self.segment_size)
            && (LEAST_SEGMENTS..=MOST_SEGMENTS).contains(&u64::from(self.segments))
            && self.first_segment >= AREA
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
        let segment = offset.checked_sub(self.first_segment)? / u64::from(self.segment_size);
        u32::try_from(segment).ok().filter(|segment| *segment < self.segments)
    }
}

/// The second superblock's place in a medium of `len` bytes.
fn second_area(len: u64) -> u64 {
    (len / AREA * AREA).saturating_sub(AREA)
}

impl Superblock {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        field::MAGIC.put(&mut bytes, MAGIC);
        field::VERSION.put(&mut bytes, FORMAT_VERSION.to_le_bytes());
        field::SEGMENT_SIZE.put(&mut bytes, self.geometry.segment_size.to_le_bytes());
        field::UUID.put(&mut bytes, self.uuid);
        field::MEDIUM_LEN.put(&mut bytes, self.geometry.len.to_le_bytes());
        field::FIRST_SEGMENT.put(&mut bytes, self.geometry.first_segment.to_le_bytes());
        field::SEGMENTS.put(&mut bytes, self.geometry.segments.to_le_bytes());
        field::EPOCH.put(&mut bytes, self.epoch.to_le_bytes());
        bytes[field::LABEL.range()][..self.label.len()].copy_from_slice(self.label.as_bytes());
        let checksum = crc32c(&bytes[..field::CHECKSUM.at]);
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    /// Reads one superblock. `Ok(None)`: not a superblock, or a damaged one.
    fn decode(bytes: &[u8; LEN]) -> Result<Option<Superblock>, Error> {
        let checksum = field::CHECKSUM.u32(bytes);
        if field::MAGIC.get(bytes) != MAGIC || crc32c(&bytes[..field::CHECKSUM.at]) != checksum {
            return Ok(None);
        }
        // The magic, the version and the checksum's place stay what they are in every version.
        let version = field::VERSION.u32(bytes);
        if version != FORMAT_VERSION {
            return Err(Error::NewerVersion { found: version });
        }
        let features = field::FEATURES_TO_READ.u64(bytes) | field::FEATURES_TO_WRITE.u64(bytes);
        if features != 0 {
            return Err(Error::UnknownFeatures { bits: features });
        }
        let geometry = Geometry {
            len: field::MEDIUM_LEN.u64(bytes),
            first_segment: field::FIRST_SEGMENT.u64(bytes),
            segment_size: field::SEGMENT_SIZE.u32(bytes),
            segments: field::SEGMENTS.u32(bytes),
        };
        let label = bytes[field::LABEL.range()].split(|byte| *byte == 0).next().unwrap_or_default();
        let label = String::from_utf8_lossy(label).into_owned();
        let (uuid, epoch) = (field::UUID.get(bytes), field::EPOCH.u64(bytes));
        Ok(geometry.is_sound().then_some(Superblock { uuid, label, epoch, geometry }))
    }

    /// The parts of the medium outside superblocks and segments that are zero in every pool.
    pub(crate) fn reserved(&self) -> [Range<u64>; 4] {
        let second = second_area(self.geometry.len);
        let first = self.geometry.first_segment;
        let end = second + LEN as u64..second + AREA;
        [LEN as u64..ROOT, ROOT + LINE..bad::AREA.start, bad::AREA.end..first, end]
    }

    /// Writes the superblock once more, at one of its two places, and starts writing it back.
    pub(crate) fn write_at(&self, store: &impl Store, place: u64) -> Result<(), Error> {
        store.store(place, &self.encode())?;
        store.write_back(place..place + LEN as u64)?;
        Ok(())
    }

    /// Finds the medium's superblock, and where the one of the two that is not readable lies.
    pub(crate) fn read(load: &impl Load) -> Result<(Superblock, Option<u64>), Error> {
        let len = load.size();
        if len < FIRST_SEGMENT {
            return Err(Self::explain_short(load, len)?);
        }
        let areas = [0, second_area(len)];
        let mut raw = [[0; LEN]; 2];
        for (bytes, area) in raw.iter_mut().zip(areas) {
            match load.load(area, bytes) {
                // As good as damaged: the other one counts.
                Ok(()) | Err(LoadError::Unreadable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if field::MAGIC.get(&raw[0]) == FORMATTING {
            return Err(Error::FormatInterrupted);
        }
        let (superblock, damaged) = match raw.map(|bytes| Self::decode(&bytes)) {
            [Ok(Some(first)), Ok(Some(second))] if second.uuid != first.uuid => return Err(Error::TwoPools),
            [Ok(Some(first)), Ok(Some(second))] if second.epoch > first.epoch => (second, None),
            // The second one of a longer or shorter medium is not where this one's length says: judged below.
            [Ok(Some(first)), second] => {
                let damaged = first.geometry.len == len && !matches!(second, Ok(Some(_)));
                (first, damaged.then_some(areas[1]))
            }
            [_, Ok(Some(second))] => (second, Some(areas[0])),
            [Err(error), _] | [_, Err(error)] => return Err(error),
            [Ok(None), Ok(None)] => return Err(Self::explain_absence(load, &raw, areas)?),
        };
        let recorded = superblock.geometry.len;
        match recorded.cmp(&len) {
            core::cmp::Ordering::Greater => Err(Error::Truncated { recorded, actual: len }),
            core::cmp::Ordering::Less => Err(Error::Grown { recorded, actual: len }),
            core::cmp::Ordering::Equal => Ok((superblock, damaged)),
        }
    }

    /// Why a medium that is too short for any pool holds none.
    fn explain_short(load: &impl Load, len: u64) -> Result<Error, Error> {
        let mut bytes = [0; LEN];
        if len >= LEN as u64 {
            load.load(0, &mut bytes)?;
        }
        Ok(match Self::decode(&bytes)? {
            Some(superblock) => Error::Truncated { recorded: superblock.geometry.len, actual: len },
            None => Error::TooSmall {
                actual: len,
                least: FIRST_SEGMENT + LEAST_SEGMENTS * u64::from(*SEGMENT_SIZES.start()) + AREA,
            },
        })
    }

    /// Why neither superblock is readable.
    fn explain_absence(load: &impl Load, raw: &[[u8; LEN]; 2], areas: [u64; 2]) -> Result<Error, Error> {
        if raw.iter().any(|bytes| field::MAGIC.get(bytes) == MAGIC) {
            return Ok(Error::SuperblockDamaged);
        }
        let mut zeroed = true;
        let mut page = [0; AREA as usize];
        for area in areas {
            load.load(area, &mut page)?;
            zeroed &= page.iter().all(|byte| *byte == 0);
        }
        // Every segment of a pool has headers, so a pool whose superblocks were zeroed is not taken for a blank medium.
        // Segments begin at multiples of the least size; a thousand of those are looked at, over the whole medium.
        let least = u64::from(*SEGMENT_SIZES.start());
        let places = (load.size() - FIRST_SEGMENT) / least;
        let mut header = false;
        let mut first = [0; 8];
        for place in (0..places).step_by((places / 1024).max(1) as usize) {
            let mut word = [0; 8];
            load.load(FIRST_SEGMENT + place * least, &mut word)?;
            header |= segment::Header::looks_like_one(&word);
            if place == 0 {
                first = word;
            }
        }
        let found = field::MAGIC.get(&raw[0]);
        Ok(match (zeroed, header) {
            (true, true) => Error::Zeroed,
            (false, true) => Error::SuperblockDamaged,
            (true, false) if first == [0; 8] => Error::Blank,
            (_, false) => Error::Foreign { found },
        })
    }

    /// Formats the medium: no pool is recognised on it until every byte of the new one is durable.
    pub(crate) fn format(
        store: &impl Store,
        options: &FormatOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Superblock, Error> {
        if options.label.len() > field::LABEL.range().len() || options.label.contains('\0') {
            return Err(Error::BadOption("the label is longer than 32 bytes or has a zero byte"));
        }
        let geometry = Geometry::choose(store.size(), options.segment_size)?;
        let superblock = Superblock { uuid: options.uuid, label: options.label.clone(), epoch: 1, geometry };
        let second = second_area(geometry.len);
        let durable = |from: u64, len: u64| store.write_back(from..from + len);

        store.store(0, &FORMATTING)?;
        durable(0, 8)?;
        store.fence();

        store.fill(8, FIRST_SEGMENT - 8, 0)?;
        durable(8, FIRST_SEGMENT - 8)?;
        store.fill(second, AREA, 0)?;
        durable(second, AREA)?;
        for index in 0..geometry.segments {
            segment::Header::unused(index).write(store, &superblock.uuid, &geometry)?;
            // Small batches: who looks on sees that it goes on, and on the host a fence is where the time goes.
            if (index + 1).is_multiple_of(FENCED_SEGMENTS) {
                store.fence();
                progress(u64::from(index + 1) * u64::from(geometry.segment_size));
            }
        }
        store.fence();

        let bytes = superblock.encode();
        store.store(second, &bytes)?;
        store.store(8, &bytes[8..])?;
        durable(second, LEN as u64)?;
        durable(0, LEN as u64)?;
        store.fence();

        store.store(0, &MAGIC)?;
        durable(0, 8)?;
        store.fence();
        Ok(superblock)
    }
}
