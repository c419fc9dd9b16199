//! The headers of all segments: which segments' records count, and which headers need to be written again.

use alloc::vec::Vec;

use super::Repairs;
use super::generations::Told;
use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::dram::NoRoom;
use crate::pool::log::Log;
use crate::pool::report::DamageKind;
use crate::pool::segment::{Header, HeaderPair, Joined, Odd, State};
use crate::pool::sums::Sums;

impl Log {
    /// Reads all segments' headers. Returns those of the segments whose records count, oldest first, and what the
    /// headers tell of each other.
    pub(super) fn read_headers(
        &mut self,
        load: &impl Load,
        repairs: &mut Repairs,
    ) -> Result<(Vec<Header>, Told), Error> {
        let mut told = Told::default();
        let uuid = self.superblock.uuid;
        let mut used = Vec::new();
        let mut readable = false;
        let mut parts = Vec::new();
        for index in 0..self.geometry().segments {
            let header = match Header::read(load, &uuid, self.geometry(), index, self.media.bad())? {
                HeaderPair::Readable { header, odd } if header.state == State::Used => {
                    used.push((header, odd.map(|odd| odd.place)));
                    header
                }
                HeaderPair::Readable { header, odd } if header.state == State::Part => {
                    parts.push((header, odd));
                    header
                }
                HeaderPair::Readable { header, odd } => {
                    // What a freeing or an opening left of the other one must not become whole by later stores.
                    repairs.headers.extend(odd.map(|odd| (header, odd.place)));
                    header
                }
                found @ (HeaderPair::Damaged | HeaderPair::Misplaced { .. }) => {
                    let kind = match found {
                        HeaderPair::Misplaced { .. } => DamageKind::MisplacedSegment,
                        _ => DamageKind::Segment,
                    };
                    let place = self.geometry().start_of(index);
                    self.note_damage(kind, place, u64::from(self.geometry().segment_size));
                    self.space.quarantine(index);
                    told.note_unknown();
                    continue;
                }
            };
            readable = true;
            told.note(&header);
            match header.state {
                State::Free => self.space.set_generation(index, header.generation),
                state => self.space.open(index, state, header.generation),
            }
            self.frontier.reach_generation(header.generation + 1);
            self.frontier.reach_sequence(header.first_sequence.max(header.cleared_through + 1));
            self.frontier.reach_batch(header.first_batch);
            if header.state == State::Used {
                self.frontier.reach_clearing(header.cleared_through);
            }
        }
        if !readable && Header::is_anywhere(load, self.geometry())? {
            return Err(Error::OtherSegments);
        }
        self.findings.set_segments_used(used.len() + parts.len());
        self.judge_parts(parts, &mut used, repairs)?;
        used.sort_by_key(|(header, _)| header.generation);
        let newest = used.last().map(|(header, _)| header.generation);
        let mut kept = Vec::new();
        for (header, odd) in used {
            if let Some(place) = odd {
                // The second header of the newest segment may not have been durable yet.
                if Some(header.generation) != newest || place == self.geometry().start_of(header.index) {
                    self.note_damage(DamageKind::SegmentHeader, place, LINE);
                }
                repairs.headers.push((header, place));
            }
            if header.cleared_through < self.frontier.cleared_through() {
                // Opened before the pool was cleared: everything in it is void.
                repairs.void.push(header.index);
            } else {
                kept.push(header);
            }
        }
        self.sums = Sums::of(&self.catalog.hasher(), self.space.segments());
        Ok((kept, told))
    }

    /// Adds to the segments that are `used` the parts that count, each with the place of a header that is damaged.
    fn judge_parts(
        &mut self,
        parts: Vec<(Header, Option<Odd>)>,
        used: &mut Vec<(Header, Option<u64>)>,
        repairs: &mut Repairs,
    ) -> Result<(), NoRoom> {
        let joined = Joined::by(used.iter().map(|(header, _)| header))?;
        for (part, odd) in parts {
            let counting = Header { state: State::Used, ..part };
            let is_counted = odd.is_some_and(|odd| odd.says == Some(counting));
            if joined.has(part.generation) {
                repairs.joined.push(part.index);
                used.push((counting, odd.filter(|_| !is_counted).map(|odd| odd.place)));
            } else if is_counted {
                // The second header follows when parts are joined, and the first one before anything else is written.
                // The segment that joined it is gone since: the first header is an old copy.
                used.push((counting, Some(self.geometry().start_of(part.index))));
            } else {
                repairs.void.push(part.index);
                repairs.headers.extend(odd.map(|odd| (part, odd.place)));
                continue;
            }
            self.space.join(part.index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::medium::{LINE, Medium, Store};
    use crate::pool::segment::Header;
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    /// Opens a pool whose second header of one segment a cut left out, and looks whether it is there afterwards.
    fn expect_written(pool: Pool<Memory>, segment: u32) {
        let places = Header::places(pool.log.geometry(), segment);
        let memory = Memory::from(pool.medium().image());
        memory.write(|store| store.fill(places[1], LINE, 0)).unwrap().unwrap();
        let pool = Pool::open(memory).unwrap();
        assert!(pool.report().damage.is_empty());
        let image = pool.medium().image();
        let [first, second] = places.map(|place| &image[place as usize..][..LINE as usize]);
        assert_eq!(first, second);
    }

    fn with_a_key() -> Pool<Memory> {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
        let _durable = pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap();
        pool
    }

    /// Once another segment is newer, a second header that is missing would be damage.
    #[test]
    fn a_second_header_that_a_cut_left_out_is_written_by_the_next_opening() {
        let pool = with_a_key();
        let head = pool.log.frontier.head().unwrap().segment;
        expect_written(pool, head);
    }

    /// Or what a freeing left of it would become whole by later stores.
    #[test]
    fn a_second_header_of_a_free_segment_is_written_by_the_next_opening() {
        let pool = with_a_key();
        let head = pool.log.frontier.head().unwrap().segment;
        expect_written(pool, head + 2);
    }
}
