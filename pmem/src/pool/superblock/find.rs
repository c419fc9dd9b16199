//! Which superblock a medium has, or why it has none.

use super::geometry::{LEAST_SEGMENTS, SEGMENT_SIZES, second_area};
use super::{AREA, FIRST_SEGMENT, FORMATTING, LEN, MAGIC, Superblock, field};
use crate::error::Error;
use crate::medium::{Load, LoadError};
use crate::pool::segment;

impl Superblock {
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
}
