//! Which superblock a medium has, or why it has none.

use alloc::vec::Vec;

use super::geometry::{ALIGNED, LEAST_SEGMENTS, SEGMENT_SIZES, second_area};
use super::{
    AREA, CHANGING, FIRST_SEGMENT, FORMATTING, GROWING, HistoryRecord, LEN, MAGIC, Superblock, WRITTEN, field,
};
use crate::error::Error;
use crate::medium::{Load, LoadError};
use crate::pool::report::{Damage, DamageKind};
use crate::pool::segment;

/// A superblock that counts, and what is to be said of the two places.
#[derive(Debug)]
pub(crate) struct Found {
    pub superblock: Superblock,
    /// What is damaged of the two, and of the history records behind them.
    pub damage: Vec<Damage>,
    /// The area in which what a power cut left is not equal to the one that counts.
    pub unfinished: Option<u64>,
}

/// What lies at one of the two places.
#[derive(Debug)]
struct Area {
    place: u64,
    bytes: [u8; WRITTEN],
    copy: Copy,
    /// It is the first one, and says that the second one does not count.
    is_growing: bool,
}

#[derive(Debug)]
enum Copy {
    Valid(Superblock),
    /// Its writing was interrupted.
    Changing,
    Unreadable,
}

impl Area {
    fn read(load: &impl Load, place: u64) -> Result<Area, Error> {
        let mut bytes = [0; WRITTEN];
        match load.load(place, &mut bytes) {
            Ok(()) => {}
            // As good as damaged: the other one counts.
            Err(LoadError::Unreadable(_)) => bytes.fill(0xFF),
            Err(error) => return Err(error.into()),
        }
        let is_growing = place == 0 && field::MAGIC.get(&bytes) == GROWING;
        if is_growing {
            field::MAGIC.put(&mut bytes, MAGIC);
        }
        let copy = match Superblock::decode(&bytes[..LEN])? {
            // A second one lies where its own length says, unless the medium was cut.
            Some(found) if place > 0 && found.places()[1] != place && found.geometry.len <= load.size() => {
                Copy::Unreadable
            }
            Some(superblock) => Copy::Valid(superblock),
            None if field::MAGIC.get(&bytes) == CHANGING => Copy::Changing,
            None => Copy::Unreadable,
        };
        Ok(Area { place, bytes, copy, is_growing })
    }

    fn superblock(&self) -> Option<&Superblock> {
        match &self.copy {
            Copy::Valid(superblock) => Some(superblock),
            Copy::Changing | Copy::Unreadable => None,
        }
    }

    fn magic(&self) -> [u8; 8] {
        field::MAGIC.get(&self.bytes)
    }

    /// Whether it is of the same pool as `first`, and newer.
    fn follows(&self, first: &Superblock) -> bool {
        self.superblock().is_some_and(|second| second.uuid == first.uuid && second.epoch > first.epoch)
    }

    /// The history record in it.
    fn history(&self, uuid: &[u8; 16]) -> Option<HistoryRecord> {
        HistoryRecord::decode(&self.bytes[LEN..], uuid)
    }
}

impl Found {
    /// Of what lies at the two places, one of which is valid.
    fn choose(areas: [Area; 2]) -> Result<Found, Error> {
        let [first, second] = [&areas[0], &areas[1]];
        let (counts, other, is_unfinished) = match (&first.copy, &second.copy) {
            (Copy::Valid(one), Copy::Valid(two)) if one.uuid != two.uuid && !first.is_growing => {
                return Err(Error::TwoPools);
            }
            // The second one is written first.
            (Copy::Valid(one), Copy::Valid(two)) if second.follows(one) => (two, first, two.epoch - one.epoch == 1),
            (Copy::Valid(one), copy) => (one, second, first.is_growing || matches!(copy, Copy::Changing)),
            (copy, Copy::Valid(two)) => (two, first, matches!(copy, Copy::Changing)),
            _ => return Err(Error::SuperblockDamaged),
        };
        let is_damaged = !is_unfinished && other.superblock() != Some(counts);
        let mut found = Found { superblock: counts.clone(), damage: Vec::new(), unfinished: None };
        found.unfinished = is_unfinished.then_some(other.place);
        if is_damaged {
            found.damage.push(Damage { kind: DamageKind::Superblock, offset: other.place, len: AREA });
        }
        if found.superblock.version > 1 {
            found.find_history(&areas);
        }
        Ok(found)
    }

    /// Of the two history records the newer one.
    fn find_history(&mut self, areas: &[Area; 2]) {
        let uuid = self.superblock.uuid;
        let records = areas.iter().filter_map(|area| area.history(&uuid));
        let history = records.reduce(HistoryRecord::newer).unwrap_or_else(|| HistoryRecord::begin(&uuid));
        self.superblock.history = Some(history);
        for area in areas.iter().filter(|area| Some(area.place) != self.unfinished) {
            if area.history(&uuid) != Some(history) {
                let offset = area.place + LEN as u64;
                self.damage.push(Damage { kind: DamageKind::History, offset, len: (WRITTEN - LEN) as u64 });
            }
        }
    }
}

impl Superblock {
    /// Finds the medium's superblock. The medium may be longer than the pool.
    pub(crate) fn read(load: &impl Load) -> Result<Found, Error> {
        let len = load.size();
        if len < FIRST_SEGMENT {
            return Err(Self::explain_short(load, len)?);
        }
        let first = Area::read(load, 0)?;
        if first.magic() == FORMATTING {
            return Err(Error::FormatInterrupted);
        }
        let second = Self::find_second(load, &first)?;
        let areas = [first, second];
        let Some(superblock) = areas.iter().find_map(Area::superblock) else {
            return Err(Self::explain_absence(load, &areas)?);
        };
        let recorded = superblock.geometry.len;
        if recorded > len { Err(Error::Truncated { recorded, actual: len }) } else { Found::choose(areas) }
    }

    /// The second area: at the medium's end, or at the pool's, if the medium is longer.
    fn find_second(load: &impl Load, first: &Area) -> Result<Area, Error> {
        let at_end = Area::read(load, second_area(load.size()))?;
        let counts = match first.superblock() {
            // A growth puts it there, and ends with the first one.
            Some(first) => at_end.follows(first),
            None => at_end.superblock().is_some(),
        };
        // One that is being written anew has this word of the former one or of the next one.
        let recorded = field::MEDIUM_LEN.u64(&first.bytes);
        if counts || !(FIRST_SEGMENT..load.size()).contains(&recorded) {
            return Ok(at_end);
        }
        let within = Area::read(load, second_area(recorded))?;
        Ok(if first.superblock().is_some() || within.superblock().is_some() { within } else { at_end })
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
    fn explain_absence(load: &impl Load, areas: &[Area; 2]) -> Result<Error, Error> {
        if areas.iter().any(|area| [MAGIC, CHANGING].contains(&area.magic())) {
            return Ok(Error::SuperblockDamaged);
        }
        let mut zeroed = true;
        let mut page = [0; AREA as usize];
        for area in areas {
            load.load(area.place, &mut page)?;
            zeroed &= page.iter().all(|byte| *byte == 0);
        }
        // Every segment of a pool has headers, so a pool whose superblocks were zeroed is not taken for a blank medium.
        let mut header = false;
        let mut word = [0; 8];
        for place in segment_starts(load.size()) {
            load.load(place, &mut word)?;
            header |= segment::Header::looks_like_one(&word);
        }
        load.load(FIRST_SEGMENT, &mut word)?;
        let found = areas[0].magic();
        Ok(match (zeroed, header) {
            (true, true) => Error::Zeroed,
            (false, true) => Error::SuperblockDamaged,
            (true, false) if word == [0; 8] => Error::Blank,
            (_, false) => Error::Foreign { found },
        })
    }
}

/// Places where a segment may begin, a few thousand of them over the whole medium: of those with the small segments'
/// grid and of those with the large ones', each with the first.
fn segment_starts(len: u64) -> impl Iterator<Item = u64> {
    [u64::from(*SEGMENT_SIZES.start()), u64::from(ALIGNED)].into_iter().flat_map(move |grid| {
        let places = (len / grid).saturating_sub(1);
        (0..places).step_by((places / 1024).max(1) as usize).map(move |place| grid + place * grid)
    })
}
