//! Recovery: from the bytes of a medium to the log's state.
//!
//! Operations carry sequence numbers, so the order in which segments are read does not matter: the highest number of
//! each key wins. What recovery must tell apart is a torn tail, which was never acknowledged and is cut off, from
//! damage, which is reported and costs only what it covers. Batches decide that: a batch is written only after the one
//! before it is durable, so only the very last one can be torn.
//!
//! Reading changes nothing; what has to be repaired first of all is returned and done by [`Log::repair`].

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Load, Store};
use crate::pool::checkpoint::{self, Verdict};
use crate::pool::index::Index;
use crate::pool::log::{self, Head, Log};
use crate::pool::record::{BATCH_LIMIT, FrameHeader, Kind, Large, Lost, Ops, SEQUENCE_LIMIT};
use crate::pool::report::{Checkpoint, DamageKind, Tail};
use crate::pool::scan::{FoundOp, More, Scanned, Scanner};
use crate::pool::segment::{Found, HEADER, Header, State};
use crate::pool::superblock::{self, Superblock};
use crate::pool::walk::{Step, Walk};

/// What must be written before anything else is.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    /// Segment headers that are not equal to their twin, which counts, with their places.
    headers: Vec<(Header, u64)>,
    /// Segments of which nothing counts: their operations are void, or they hold a checkpoint that is not used.
    void: Vec<u32>,
    /// There is something in the place of a checkpoint's root.
    root: bool,
    /// The place in the head's segment behind which nothing was acknowledged, in bytes from the segment's start.
    cut: Option<u32>,
    /// The head's segment has damage and takes no more records.
    seal: bool,
}

/// What the log's state is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The checkpoint, if there is one that counts.
    Checkpoint,
    /// The records, in any case.
    Records,
}

/// What recovery gathers and forgets at its end.
#[derive(Debug, Default)]
struct Gathered {
    /// The newest batch that left a valid record.
    last_batch: u64,
    /// Removals in the index, by hash and place.
    removals: Vec<(u64, u64)>,
    /// Large values, by hash, place and division.
    larges: Vec<(u64, u64, u64, Large)>,
    /// Lost keys, with the sequence numbers of the records that say so.
    lost: Vec<(u64, Lost)>,
}

impl Log {
    /// Reads a pool, on this thread. Changes nothing on the medium.
    pub(crate) fn recover(load: &impl Load, source: Source) -> Result<(Log, Repairs), Error> {
        Self::recover_by(load, source, |scanner, headers, merge| {
            headers.iter().enumerate().for_each(|(job, header)| merge(job, scanner.scan(load, header)));
        })
    }

    /// Reads a pool. `scan_all` scans each of the segments and hands over what it found, in any order.
    pub(crate) fn recover_by(
        load: &impl Load,
        source: Source,
        scan_all: impl FnOnce(&Scanner, &[Header], &mut dyn FnMut(usize, Result<Scanned, Error>)),
    ) -> Result<(Log, Repairs), Error> {
        let (superblock, damaged) = Superblock::read(load)?;
        let mut log = Log::new(superblock);
        let mut repairs = Repairs::default();
        if let Some(place) = damaged {
            log.note_damage(DamageKind::Superblock, place, superblock::AREA);
        }
        log.read_bad_ranges(load)?;
        let used = log.read_headers(load, &mut repairs)?;
        log.set_bad_aside();
        if source == Source::Checkpoint {
            // Where bytes are bad, lost keys are looked for in the records, too.
            let doubtful = !log.bad.is_empty()
                || !log.report.damage.is_empty()
                || !repairs.headers.is_empty()
                || !repairs.void.is_empty();
            let verdict = log.take_checkpoint(load, &used, doubtful)?;
            repairs.root = verdict != Verdict::None;
            log.report.checkpoint = match verdict {
                Verdict::None => Checkpoint::None,
                Verdict::Refused(why) => Checkpoint::Refused { why },
                Verdict::Taken { bytes } => Checkpoint::Used { bytes },
            };
            if let Verdict::Taken { .. } = verdict {
                log.report.keys = log.keys.len();
                log.replan();
                return Ok((log, repairs));
            }
        }
        let held = (0..).zip(&log.segments).filter(|(_, segment)| segment.state == State::Checkpoint);
        repairs.void.extend(held.map(|(index, _)| index));
        let mut gathered = Gathered { last_batch: log.next_batch - 1, ..Gathered::default() };
        let mut tail = Tail::Clean;
        let mut incomplete = Vec::new();
        let mut ends: Vec<Option<Scanned>> = Vec::new();
        ends.resize_with(used.len(), || None);
        let mut failed = None;
        scan_all(&log.scanner(), &used, &mut |job, scanned| match scanned {
            Ok(mut scanned) => {
                log.merge(load, &mut scanned, &mut gathered);
                ends[job] = Some(scanned);
            }
            Err(error) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        for (position, (header, scanned)) in used.iter().zip(ends).enumerate() {
            let Some(scanned) = scanned else { continue };
            let newest = position + 1 == used.len();
            let (gaps, sealed) = (scanned.gaps, scanned.sealed);
            if sealed {
                // Complete, gaps aside.
            } else if newest {
                log.head = Some(Head { segment: header.index, at: scanned.end.next_multiple_of(LINE as u32) });
                tail = match scanned {
                    Scanned { untidy: true, end, .. } => {
                        let offset = log.geometry().start_of(header.index) + u64::from(end);
                        // Bytes within a line that acknowledged records share are cut off, never written over.
                        repairs.cut = (!end.is_multiple_of(LINE as u32)).then_some(end);
                        Tail::Torn { offset, discarded: 0 }
                    }
                    Scanned { closed: true, .. } => Tail::Clean,
                    _ => Tail::Unclean,
                };
                log.closed = tail == Tail::Clean;
            } else {
                log.damaged_records(header.index, scanned.end, log.batch_limit().max(scanned.end + 1));
            }
            if gaps {
                incomplete.push((*header, newest && !sealed));
            }
        }
        for (header, may_be_torn) in incomplete {
            if let Some((cut, discarded)) = log.scan_gaps(load, &header, may_be_torn, &mut gathered)? {
                let offset = log.geometry().start_of(header.index) + u64::from(cut);
                tail = Tail::Torn { offset, discarded };
                repairs.cut = Some(cut);
                log.head = Some(Head { segment: header.index, at: cut.next_multiple_of(LINE as u32) });
                log.closed = false;
            }
        }
        if let Some(head) = log.head {
            repairs.seal = log.segments[head.segment as usize].state == State::Quarantined;
        }
        log.next_batch = log.next_batch.max(gathered.last_batch + 1);
        if log.next_sequence > SEQUENCE_LIMIT / 2 || log.next_batch > BATCH_LIMIT / 2 {
            // Numbers that no pool ever reached; going on from them would end at ones that nobody reads.
            return Err(Error::Damaged { offset: log.geometry().first_segment });
        }
        log.finish(load, gathered)?;
        log.report.tail = tail;
        log.report.keys = log.keys.len();
        log.report.lost_keys = log.lost_places.len() as u64;
        log.report.damage.sort_by_key(|damage| damage.offset);
        log.replan();
        Ok((log, repairs))
    }

    /// Writes what recovery found missing, so that the next recovery finds the same, whatever is written from now on.
    pub(crate) fn repair(&mut self, store: &impl Store, repairs: Repairs) -> Result<(), Error> {
        if repairs.root {
            checkpoint::invalidate(store)?;
        }
        let good = |place: u64| self.bad.within(&(place..place + LINE)).is_none();
        for (header, place) in repairs.headers.iter().filter(|(_, place)| good(*place)) {
            header.write_at(store, &self.superblock.uuid, *place)?;
        }
        for segment in repairs.void {
            self.release(store, segment)?;
        }
        store.fence();
        let Some(head) = self.head else { return Ok(()) };
        // A batch that was being written when the power went has this number. It must not come again at this place:
        // stores of the next batch could complete what is left of a frame that recovery has found void.
        self.next_batch += 1;
        let valid_end = repairs.cut.unwrap_or(head.at);
        let Some(head) = self.pass_bad(head) else {
            self.head = None;
            return Ok(());
        };
        self.head = Some(head);
        if repairs.seal || self.batch_limit() - head.at < LINE as u32 {
            self.seal(store, valid_end)?;
        } else {
            self.write_mark(store, Kind::Cut, &u64::from(valid_end).to_le_bytes())?;
        }
        self.replan();
        Ok(())
    }

    /// Reads all segments' headers. Returns those of the segments whose records count, oldest first.
    fn read_headers(&mut self, load: &impl Load, repairs: &mut Repairs) -> Result<Vec<Header>, Error> {
        let uuid = self.superblock.uuid;
        let mut used = Vec::new();
        for index in 0..self.geometry().segments {
            let header = match Header::read(load, &uuid, self.geometry(), index, &self.bad)? {
                Found::Readable { header, odd } if header.state == State::Used => {
                    used.push((header, odd));
                    self.segments[index as usize].state = State::Used;
                    self.free -= 1;
                    header
                }
                Found::Readable { header, odd } => {
                    // What a freeing or an opening left of the other one must not become whole by later stores.
                    repairs.headers.extend(odd.map(|place| (header, place)));
                    if header.state == State::Checkpoint {
                        self.segments[index as usize].state = State::Checkpoint;
                        self.free -= 1;
                    }
                    header
                }
                found @ (Found::Damaged | Found::Misplaced { .. }) => {
                    let kind = match found {
                        Found::Misplaced { .. } => DamageKind::MisplacedSegment,
                        _ => DamageKind::Segment,
                    };
                    let place = self.geometry().start_of(index);
                    self.note_damage(kind, place, u64::from(self.geometry().segment_size));
                    self.quarantine(index);
                    continue;
                }
            };
            self.segments[index as usize].generation = header.generation;
            self.next_generation = self.next_generation.max(header.generation + 1);
            self.next_sequence = self.next_sequence.max(header.first_sequence).max(header.cleared_through + 1);
            self.next_batch = self.next_batch.max(header.first_batch);
            if header.state == State::Used {
                self.cleared_through = self.cleared_through.max(header.cleared_through);
            }
        }
        self.report.segments_used = used.len() as u32;
        used.sort_by_key(|(header, _)| header.generation);
        let newest = used.last().map(|(header, _)| header.generation);
        let mut kept = Vec::new();
        for (header, odd) in used {
            if header.cleared_through < self.cleared_through {
                // Opened before the pool was cleared: everything in it is void.
                repairs.void.push(header.index);
                continue;
            }
            kept.push(header);
            if let Some(place) = odd {
                // The second header of the newest segment may not have been durable yet.
                if Some(header.generation) != newest || place == self.geometry().start_of(header.index) {
                    self.note_damage(DamageKind::SegmentHeader, place, LINE);
                }
                repairs.headers.push((header, place));
            }
        }
        Ok(kept)
    }

    fn scanner(&self) -> Scanner {
        Scanner { uuid: self.superblock.uuid, geometry: *self.geometry(), hasher: self.hasher, bad: self.bad.clone() }
    }

    /// Takes over what the scan of a segment found, and leaves only how the segment ended.
    fn merge(&mut self, load: &impl Load, scanned: &mut Scanned, gathered: &mut Gathered) {
        self.report.records += scanned.records;
        self.report.bytes_scanned += scanned.bytes;
        gathered.last_batch = gathered.last_batch.max(scanned.last_batch);
        self.next_sequence = self.next_sequence.max(scanned.next_sequence);
        let mut more = core::mem::take(&mut scanned.more).into_iter();
        for op in core::mem::take(&mut scanned.ops) {
            let more = if matches!(op.kind, Kind::PutLarge | Kind::Lost) { more.next() } else { None };
            self.admit(load, &op, more, gathered);
        }
    }

    /// Walks a segment that has gaps again, now that the newest batch is known: judges each gap, and indexes what lies
    /// behind those that are damage. A torn tail's place and the number of its valid records are returned.
    fn scan_gaps(
        &mut self,
        load: &impl Load,
        header: &Header,
        may_be_torn: bool,
        gathered: &mut Gathered,
    ) -> Result<Option<(u32, u64)>, Error> {
        let scanner = self.scanner();
        let segment = self.geometry().start_of(header.index);
        let mut walk = Walk::new(&self.superblock.uuid, self.geometry(), header, &self.bad);
        let mut counts = false;
        let mut torn = None;
        loop {
            match walk.step(load)? {
                Step::Frame { at, header: frame } => {
                    if let Some((_, discarded)) = &mut torn {
                        *discarded += 1;
                        continue;
                    }
                    let mut sealed = false;
                    for op in Ops::of(walk.frame(at, &frame)) {
                        sealed |= op.header.kind == Kind::End;
                        if counts && let Some((op, more)) = scanner.found(segment + u64::from(at), &op) {
                            self.admit(load, &op, more, gathered);
                        }
                    }
                    if sealed {
                        return Ok(None);
                    }
                }
                Step::Gap { from, to, tidy, next } if torn.is_none() => {
                    if may_be_torn && is_torn(from, to, tidy, &next, gathered.last_batch) {
                        torn = Some((from, 0));
                    } else {
                        self.damaged_records(header.index, from, to);
                        counts = true;
                    }
                }
                Step::Gap { .. } => {}
                Step::End { .. } => return Ok(torn),
            }
        }
    }

    /// Notes records that are not readable, and sets their segment aside.
    fn damaged_records(&mut self, segment: u32, from: u32, to: u32) {
        let start = self.geometry().start_of(segment);
        self.note_damage(DamageKind::Records, start + u64::from(from), u64::from(to - from));
        self.quarantine(segment);
    }

    /// Puts a valid operation into the index, unless a newer one on its key is there.
    fn admit(&mut self, load: &impl Load, op: &FoundOp, more: Option<More>, gathered: &mut Gathered) {
        let FoundOp { hash, place, sequence, cost, kind } = *op;
        let is_put = matches!(kind, Kind::Put | Kind::PutLarge);
        self.largest = self.largest.max(cost);
        if let Some(More::Lost(lost)) = more {
            self.count_removal(place, cost);
            gathered.lost.push((sequence, lost));
            return;
        }
        let old = self.find_other(load, op);
        if kind == Kind::Remove {
            self.count_removal(place, cost);
        }
        if let Some(old) = &old {
            // Equal numbers are an original and its copy; the copy lies in the younger segment.
            let age = |sequence, place| {
                let segment = self.geometry().segment_at(place).unwrap_or(0);
                (sequence, self.segments[segment as usize].generation)
            };
            if age(old.header.sequence, old.place) >= age(sequence, place) {
                if is_put {
                    self.stale.add(self.stale.counter(hash));
                }
                return;
            }
            if old.header.is_put() {
                self.count_dead(old.place, old.header.cost());
                self.stale.add(self.stale.counter(hash));
            }
        }
        let index = if kind == Kind::Chunk { &mut self.chunks } else { &mut self.keys };
        match &old {
            Some(old) => index.replace(old.slot, place),
            None => index.insert(hash, place),
        }
        match kind {
            Kind::Remove => gathered.removals.push((hash, place)),
            Kind::Chunk => {}
            _ => self.count_live(place, cost),
        }
        if let Some(More::Large(large)) = more {
            self.next_sequence = self.next_sequence.max(large.object.saturating_add(1));
            gathered.larges.push((hash, place, cost, large));
        }
    }

    /// Finds the operation that the index has on the key of `op`. Most keys have none of their hash, and are not looked
    /// at.
    fn find_other(&self, load: &impl Load, op: &FoundOp) -> Option<log::Found> {
        let index = if op.kind == Kind::Chunk { &self.chunks } else { &self.keys };
        index.find(op.hash, |_| true)?;
        let header = self.peek(load, op.place, 0).ok()??.header;
        let mut key = Vec::new();
        self.append(load, op.place + header.key_at() as u64, header.key_len, &mut key).ok()?;
        self.find_in(index, load, op.hash, &key).ok().flatten()
    }

    /// Takes removals out of the index again, and chunks whose value is not there any more.
    fn finish(&mut self, load: &impl Load, gathered: Gathered) -> Result<(), Error> {
        for (sequence, lost) in gathered.lost {
            self.admit_lost(load, lost, sequence)?;
        }
        for (hash, place) in gathered.removals {
            if let Some(slot) = self.keys.find_place(hash, place) {
                self.keys.remove(hash, slot);
            }
        }
        let mut kept = Index::new();
        for (hash, place, cost, large) in gathered.larges {
            if self.keys.find_place(hash, place).is_none() {
                continue;
            }
            for chunk in 0..large.chunks() {
                let key = large.chunk_key(chunk);
                let Some(found) = self.find_chunk(load, &key)? else {
                    self.note_damage(DamageKind::Value, place, cost);
                    break;
                };
                let hash = self.hash(&key);
                self.chunks.remove(hash, found.slot);
                kept.insert(hash, found.place);
                self.count_live(found.place, found.header.cost());
            }
        }
        self.chunks = kept;
        Ok(())
    }
}

/// Whether bytes that are no record, with a valid record behind them, are of the batch that was being written when the
/// power went: the newest one, if it begins no later than they do.
fn is_torn(from: u32, to: u32, tidy: bool, next: &FrameHeader, last_batch: u64) -> bool {
    let line = LINE as u32;
    let batch_start = (to / line * line).saturating_sub(u32::from(next.line) * line).max(HEADER);
    let begins_in_time = batch_start <= from || (tidy && batch_start == from.next_multiple_of(line));
    next.batch == last_batch && begins_in_time
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{Log, Source};
    use crate::medium::Medium;
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    /// A pool with overwritten, removed, moved and large values in many segments.
    fn sample() -> Memory {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
        for round in 0..400u32 {
            let (result, _durable) = pool
                .turn(|turn| {
                    for number in 0..5 {
                        let key = format!("key-{}", (round * 5 + number) * 7919 % 900);
                        match (round + number) % 7 {
                            0 => turn.remove(key.as_bytes()).map(drop)?,
                            3 if round % 9 == 0 => turn.put(key.as_bytes(), &[round as u8; 9000], None)?,
                            _ => turn.put(key.as_bytes(), &[round as u8; 200], None)?,
                        }
                    }
                    Ok::<(), crate::Error>(())
                })
                .unwrap();
            result.unwrap();
        }
        assert!(pool.stats().segments_cleaned > 0);
        Memory::from(pool.medium().image())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_of_segments_does_not_matter(keys in proptest::collection::vec(any::<u64>(), 64)) {
            let memory = sample();
            let expected = memory.read(|load| Log::recover(&load, Source::Records)).unwrap().unwrap().0;
            let shuffled = memory.read(|load| {
                Log::recover_by(&load, Source::Records, |scanner, headers, merge| {
                    let mut jobs: Vec<usize> = (0..headers.len()).collect();
                    jobs.sort_by_key(|job| keys[*job % 64].rotate_left(*job as u32 / 64));
                    jobs.into_iter().for_each(|job| merge(job, scanner.scan(&load, &headers[job])));
                })
            });
            let shuffled = shuffled.unwrap().unwrap().0;
            prop_assert!(shuffled.agrees_with(&expected) && expected.agrees_with(&shuffled));
            prop_assert_eq!(&shuffled.report, &expected.report);
            prop_assert_eq!(shuffled.head, expected.head);
            prop_assert_eq!((shuffled.next_sequence, shuffled.next_batch), (expected.next_sequence, expected.next_batch));
        }
    }
}
