//! Which superblock a medium has, or why it has none.

use core::cmp::Ordering;

use super::geometry::{LEAST_SEGMENTS, SEGMENT_SIZES, second_area};
use super::{AREA, CHANGING, FIRST_SEGMENT, FORMATTING, LEN, MAGIC, Superblock, field};
use crate::error::Error;
use crate::medium::{Load, LoadError};
use crate::pool::segment;

/// A superblock that counts, and what is to be said of the two places.
#[derive(Debug)]
pub(crate) struct Found {
    pub superblock: Superblock,
    /// Where one is damaged.
    pub damaged: Option<u64>,
    /// Where one is not equal to the one that counts, for a power cut ended its writing.
    pub unfinished: Option<u64>,
}

/// What lies at one of the two places.
#[derive(Debug)]
enum Copy {
    Valid(Superblock),
    /// Its writing was interrupted.
    Changing,
    Unreadable,
}

impl Copy {
    fn of(bytes: &[u8; LEN]) -> Result<Copy, Error> {
        let is_changing = field::MAGIC.get(bytes) == CHANGING;
        let other = if is_changing { Copy::Changing } else { Copy::Unreadable };
        Ok(Superblock::decode(bytes)?.map_or(other, Copy::Valid))
    }
}

impl Found {
    /// Of what lies at the two places, one of which is valid.
    fn choose(first: Copy, second: Copy, places: [u64; 2]) -> Result<Found, Error> {
        let found = |superblock, damaged, unfinished| Ok(Found { superblock, damaged, unfinished });
        match (first, second) {
            (Copy::Valid(first), Copy::Valid(second)) if first.uuid != second.uuid => Err(Error::TwoPools),
            // The second one is written first.
            (Copy::Valid(first), Copy::Valid(second)) if second.epoch == first.epoch + 1 => {
                found(second, None, Some(places[0]))
            }
            (Copy::Valid(first), Copy::Valid(second)) if second.epoch > first.epoch => {
                found(second, Some(places[0]), None)
            }
            (Copy::Valid(first), Copy::Valid(second)) => {
                let damaged = (first != second).then_some(places[1]);
                found(first, damaged, None)
            }
            (Copy::Valid(first), Copy::Changing) => found(first, None, Some(places[1])),
            (Copy::Valid(first), Copy::Unreadable) => found(first, Some(places[1]), None),
            (Copy::Changing, Copy::Valid(second)) => found(second, None, Some(places[0])),
            (Copy::Unreadable, Copy::Valid(second)) => found(second, Some(places[0]), None),
            _ => Err(Error::SuperblockDamaged),
        }
    }
}

impl Superblock {
    /// Finds the medium's superblock.
    pub(crate) fn read(load: &impl Load) -> Result<Found, Error> {
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
        let [first, second] = [Copy::of(&raw[0])?, Copy::of(&raw[1])?];
        let recorded = match (&first, &second) {
            (Copy::Valid(found), _) | (_, Copy::Valid(found)) => found.geometry.len,
            _ => return Err(Self::explain_absence(load, &raw, areas)?),
        };
        match recorded.cmp(&len) {
            Ordering::Greater => Err(Error::Truncated { recorded, actual: len }),
            Ordering::Less => Err(Error::Grown { recorded, actual: len }),
            Ordering::Equal => Found::choose(first, second, areas),
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
        if raw.iter().any(|bytes| [MAGIC, CHANGING].contains(&field::MAGIC.get(bytes))) {
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
