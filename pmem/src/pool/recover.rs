//! Recovery: from the bytes of a medium to the log's state.
//!
//! Operations carry sequence numbers, so the order in which segments are read does not matter: the highest number of
//! each key wins. What recovery must tell apart is a torn tail, which was never acknowledged and is cut off, from
//! damage, which is reported and costs only what it covers. Batches decide that: a batch is written only after the one
//! before it is durable, so only the very last one can be torn.
//!
//! While segments are read, the newest removal of a key takes an entry as its newest put does. Keys whose removals are
//! still on the medium may be more than there is DRAM for; then the segments are read once for each *part* of the keys,
//! and the removals of one part are forgotten before the next.
//!
//! Reading changes nothing; what has to be repaired first of all is returned and done by [`Log::repair`].

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Load, Store};
use crate::pool::checkpoint::{self, Verdict};
use crate::pool::dram::{self, NoRoom};
use crate::pool::head::Head;
use crate::pool::index::Index;
use crate::pool::log::{self, Log};
use crate::pool::record::{BATCH_LIMIT, FrameHeader, Kind, Large, Lost, Ops, SEQUENCE_LIMIT};
use crate::pool::report::{Checkpoint, DamageKind, Tail};
use crate::pool::scan::{FoundOp, More, Part, Scanned, Scanner};
use crate::pool::segment::{GENERATION_LIMIT, HEADER, Header, HeaderPair, Joined, Odd, State};
use crate::pool::superblock::{self, Superblock};
use crate::pool::walk::{Step, Walk};

/// What must be written before anything else is.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    /// Segment headers that are not equal to their twin, which counts, with their places.
    headers: Vec<(Header, u64)>,
    /// Segments of which nothing counts: their operations are void, or they hold a checkpoint that is not used.
    void: Vec<u32>,
    /// Parts that count, and whose headers do not say so yet.
    joined: Vec<u32>,
    /// Segments that are as they were earlier. Only the root tells, so they are marked while it is there.
    outdated: Vec<u32>,
    /// There is something in the place of a checkpoint's root.
    root: bool,
    /// The place in the head's segment behind which nothing was acknowledged, in bytes from the segment's start.
    cut: Option<u32>,
    /// The head's segment has damage and takes no more records.
    seal: bool,
}

impl Repairs {
    /// Takes segments for outdated, whatever their headers need. They are in the order of their numbers.
    fn leave_alone(&mut self, outdated: Vec<u32>) {
        let is_kept = |segment: &u32| outdated.binary_search(segment).is_err();
        self.headers.retain(|(header, _)| is_kept(&header.index));
        self.void.retain(is_kept);
        self.joined.retain(is_kept);
        self.outdated = outdated;
    }
}

/// What the log's state is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The checkpoint, if there is one that counts.
    Checkpoint,
    /// The records, in any case.
    Records,
}

/// The most parts that the keys are divided into. Finer ones would save nothing that counts.
const MOST_PARTS: u32 = 64;

/// What recovery gathers and forgets at its end.
#[derive(Debug)]
struct Gathered {
    /// The newest batch that left a valid record.
    last_batch: u64,
    /// How many operations were put together.
    ops: u64,
    /// The newest operations on keys of this part that are removals.
    removed: Index,
    /// Large values, by hash, place and division.
    larges: Vec<(u64, u64, u64, Large)>,
    /// Lost keys, with the sequence numbers of the records that say so.
    lost: Vec<(u64, Lost)>,
}

/// How the log ends, and which segments have gaps before their ends, and may be torn there.
#[derive(Debug)]
struct LogEnd {
    tail: Tail,
    incomplete: Vec<(Header, bool)>,
}

impl Log {
    /// Reads a pool, on this thread, within `memory` bytes of DRAM. Changes nothing on the medium.
    pub(crate) fn recover(load: &impl Load, source: Source, memory: u64) -> Result<(Log, Repairs), Error> {
        Self::recover_by(load, source, memory, |scanner, headers, merge| {
            headers.iter().enumerate().for_each(|(job, header)| merge(job, scanner.scan(load, header)));
        })
    }

    /// Reads a pool. `scan_all` scans each of the segments and hands over what it found, in any order; with little DRAM
    /// it is called more than once.
    pub(crate) fn recover_by(
        load: &impl Load,
        source: Source,
        memory: u64,
        mut scan_all: impl FnMut(&Scanner, &[Header], &mut dyn FnMut(usize, Result<Scanned, Error>)),
    ) -> Result<(Log, Repairs), Error> {
        let mut parts = 1;
        loop {
            match Self::recover_in_parts(load, source, memory, parts, &mut scan_all) {
                Err(Error::NoMemory { .. }) if parts < MOST_PARTS => parts *= 8,
                done => return done,
            }
        }
    }

    fn recover_in_parts(
        load: &impl Load,
        source: Source,
        memory: u64,
        parts: u32,
        scan_all: &mut impl FnMut(&Scanner, &[Header], &mut dyn FnMut(usize, Result<Scanned, Error>)),
    ) -> Result<(Log, Repairs), Error> {
        let (superblock, damaged) = Superblock::read(load)?;
        let tables = Log::least_dram(&superblock.geometry);
        let no_memory = Error::NoMemory { needed: tables };
        if memory < tables {
            return Err(no_memory);
        }
        let mut log = Log::new(superblock).map_err(|_| no_memory)?;
        log.memory_limit = memory;
        let mut repairs = Repairs::default();
        if let Some(place) = damaged {
            log.note_damage(DamageKind::Superblock, place, superblock::AREA);
        }
        log.read_bad_ranges(load)?;
        let mut used = log.read_headers(load, &mut repairs)?;
        log.check_numbers()?;
        log.set_bad_aside();
        // Where bytes are bad, lost keys are looked for in the records, too.
        let doubtful = !log.bad.is_empty()
            || !log.report.damage.is_empty()
            || !repairs.headers.is_empty()
            || !repairs.void.is_empty()
            || !repairs.joined.is_empty();
        let mut proven_end = None;
        match log.judge_checkpoint(load, &mut used, doubtful)? {
            Verdict::Sound(sound) if source == Source::Checkpoint => {
                let bytes = match log.take_checkpoint(sound) {
                    Ok(bytes) => bytes,
                    // A table is read as large as it was; what the records fill may be smaller.
                    Err(Error::NoMemory { .. }) => {
                        drop(log);
                        let read = Self::recover_in_parts(load, Source::Records, memory, parts, scan_all);
                        let (mut log, repairs) = read?;
                        log.report.checkpoint = Checkpoint::Refused { why: "it takes more memory than there is" };
                        return Ok((log, repairs));
                    }
                    Err(error) => return Err(error),
                };
                repairs.root = true;
                log.report.checkpoint = Checkpoint::Used { bytes };
                log.report.keys = log.keys.len();
                log.replan();
                return Ok((log, repairs));
            }
            Verdict::None => {}
            Verdict::Sound(_) => repairs.root = true,
            Verdict::Refused(why) => {
                repairs.root = true;
                log.report.checkpoint = Checkpoint::Refused { why };
            }
            Verdict::Contradicted { why, end, outdated } => {
                repairs.root = true;
                repairs.leave_alone(outdated);
                proven_end = end;
                log.report.checkpoint = Checkpoint::Refused { why };
            }
        }
        repairs.void.extend(log.space.those(State::Checkpoint));
        let mut gathered = Gathered {
            last_batch: log.next_batch - 1,
            ops: 0,
            removed: Index::new()?,
            larges: Vec::new(),
            lost: Vec::new(),
        };
        let mut end = LogEnd { tail: Tail::Clean, incomplete: Vec::new() };
        for part in 0..parts {
            let part = Part { number: part, of: parts };
            let ends = log.scan_part(load, &used, part, &mut gathered, &mut *scan_all)?;
            if part.is_first() {
                end = log.judge_ends(&used, ends, proven_end, &mut repairs)?;
            }
            let incomplete = core::mem::take(&mut end.incomplete);
            for (header, may_be_torn) in &incomplete {
                if let Some((cut, discarded)) = log.scan_gaps(load, header, *may_be_torn, part, &mut gathered)?
                    && part.is_first()
                {
                    let offset = log.geometry().start_of(header.index) + u64::from(cut);
                    end.tail = Tail::Torn { offset, discarded };
                    repairs.cut = Some(cut);
                    log.head = Some(Head { segment: header.index, at: cut.next_multiple_of(LINE as u32) });
                    log.closed = false;
                }
            }
            end.incomplete = incomplete;
            for (sequence, lost) in core::mem::take(&mut gathered.lost) {
                log.admit_lost(load, lost, sequence, &gathered.removed)?;
            }
            gathered.removed.clear(0, gathered.removed.page_to_clear()?);
        }
        if let Some(head) = log.head {
            repairs.seal = log.space.segment(head.segment).state == State::Quarantined;
        }
        log.next_batch = log.next_batch.max(gathered.last_batch + 1);
        log.check_numbers()?;
        log.finish(load, gathered.larges)?;
        log.report.tail = end.tail;
        log.report.keys = log.keys.len();
        log.report.lost_keys = log.lost_places.len() as u64;
        log.report.damage.sort_by_key(|damage| damage.offset);
        log.replan();
        Ok((log, repairs))
    }

    /// Refuses numbers that no pool ever reached: going on from them would end at ones that nobody reads.
    fn check_numbers(&self) -> Result<(), Error> {
        let possible = self.next_sequence <= SEQUENCE_LIMIT / 2
            && self.next_batch <= BATCH_LIMIT / 2
            && self.next_generation <= GENERATION_LIMIT / 2;
        if possible { Ok(()) } else { Err(Error::Damaged { offset: self.geometry().first_segment }) }
    }

    /// Scans all segments for the keys of one part. Returns how each segment ended.
    fn scan_part(
        &mut self,
        load: &impl Load,
        used: &[Header],
        part: Part,
        gathered: &mut Gathered,
        scan_all: impl FnOnce(&Scanner, &[Header], &mut dyn FnMut(usize, Result<Scanned, Error>)),
    ) -> Result<Vec<Option<Scanned>>, Error> {
        let mut ends: Vec<Option<Scanned>> = dram::with_room(used.len())?;
        ends.resize_with(used.len(), || None);
        let mut failed = None;
        let mut left = 0;
        scan_all(&self.scanner(part), used, &mut |job, scanned| {
            if failed.is_some() {
                // How many there are says how much memory they need.
                left += scanned.map_or(0, |scanned| scanned.ops.len() as u64);
                return;
            }
            let taken = scanned.and_then(|mut scanned| {
                let all = gathered.ops + scanned.ops.len() as u64;
                self.merge(load, &mut scanned, part, gathered).inspect_err(|_| left = all - gathered.ops)?;
                Ok(scanned)
            });
            match taken {
                Ok(scanned) => ends[job] = Some(scanned),
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(Error::NoMemory { .. }) => Err(self.no_memory_for(left, part, gathered)),
            Some(error) => Err(error),
            None => Ok(ends),
        }
    }

    /// How much all of the index would take, by what it took so far, when `left` operations of this part are left. Of
    /// the first few nothing can be told.
    fn no_memory_for(&self, left: u64, part: Part, gathered: &Gathered) -> Error {
        const FEW: u64 = 1000;
        const USUAL: u64 = 16;
        let all = (gathered.ops + left) * u64::from(part.of) / u64::from(part.number + 1);
        let so_far = self.index_bytes() + gathered.removed.bytes();
        let index = match gathered.ops {
            0..FEW => all.saturating_mul(USUAL),
            ops => (u128::from(so_far) * u128::from(all) / u128::from(ops)) as u64,
        };
        Error::NoMemory { needed: self.dram() - self.index_bytes() + index.max(so_far) }
    }

    /// Judges how each segment ended: where the log goes on, and what is damaged.
    fn judge_ends(
        &mut self,
        used: &[Header],
        ends: Vec<Option<Scanned>>,
        proven_end: Option<Head>,
        repairs: &mut Repairs,
    ) -> Result<LogEnd, NoRoom> {
        let mut tail = Tail::Clean;
        let mut incomplete = Vec::new();
        for (position, (header, scanned)) in used.iter().zip(ends).enumerate() {
            let Some(scanned) = scanned else { continue };
            let newest = position + 1 == used.len();
            let (gaps, sealed) = (scanned.gaps, scanned.sealed);
            let missing = proven_end.filter(|end| end.segment == header.index && scanned.end + LINE as u32 <= end.at);
            if sealed {
                // Complete, gaps aside.
            } else if let Some(end) = missing {
                self.damaged_records(header.index, scanned.end, end.at);
                self.head = Some(end);
            } else if newest {
                self.head = Some(Head { segment: header.index, at: scanned.end.next_multiple_of(LINE as u32) });
                tail = match scanned {
                    Scanned { untidy: true, end, .. } => {
                        let offset = self.geometry().start_of(header.index) + u64::from(end);
                        // Bytes within a line that acknowledged records share are cut off, never written over.
                        repairs.cut = (!end.is_multiple_of(LINE as u32)).then_some(end);
                        Tail::Torn { offset, discarded: 0 }
                    }
                    Scanned { closed: true, .. } => Tail::Clean,
                    _ => Tail::Unclean,
                };
                self.closed = tail == Tail::Clean;
            } else {
                self.damaged_records(header.index, scanned.end, self.batch_limit().max(scanned.end + 1));
            }
            if gaps {
                dram::push(&mut incomplete, (*header, newest && !sealed))?;
            }
        }
        Ok(LogEnd { tail, incomplete })
    }

    /// Writes what recovery found missing, so that the next recovery finds the same, whatever is written from now on.
    pub(crate) fn repair(&mut self, store: &impl Store, repairs: Repairs) -> Result<(), Error> {
        for segment in &repairs.outdated {
            for place in self.good_places(*segment) {
                Header::write_outdated(store, place)?;
            }
        }
        store.fence();
        if repairs.root {
            checkpoint::invalidate(store)?;
        }
        let good = |place: u64| self.bad.within(&(place..place + LINE)).is_none();
        for (header, place) in repairs.headers.iter().filter(|(_, place)| good(*place)) {
            header.write_at(store, &self.superblock.uuid, *place)?;
        }
        self.count_parts(store, &repairs.joined)?;
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
        let mut readable = false;
        let mut parts = Vec::new();
        for index in 0..self.geometry().segments {
            let header = match Header::read(load, &uuid, self.geometry(), index, &self.bad)? {
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
                    continue;
                }
            };
            readable = true;
            match header.state {
                State::Free => self.space.set_generation(index, header.generation),
                state => self.space.open(index, state, header.generation),
            }
            self.next_generation = self.next_generation.max(header.generation + 1);
            self.next_sequence = self.next_sequence.max(header.first_sequence).max(header.cleared_through + 1);
            self.next_batch = self.next_batch.max(header.first_batch);
            if header.state == State::Used {
                self.cleared_through = self.cleared_through.max(header.cleared_through);
            }
        }
        if !readable && Header::is_anywhere(load, self.geometry())? {
            return Err(Error::OtherSegments);
        }
        self.report.segments_used = (used.len() + parts.len()) as u32;
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
            if header.cleared_through < self.cleared_through {
                // Opened before the pool was cleared: everything in it is void.
                repairs.void.push(header.index);
            } else {
                kept.push(header);
            }
        }
        Ok(kept)
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

    fn scanner(&self, part: Part) -> Scanner {
        let uuid = self.superblock.uuid;
        Scanner { uuid, geometry: *self.geometry(), hasher: self.hasher, bad: self.bad.clone(), part }
    }

    /// Takes over what the scan of a segment found, and leaves only how the segment ended.
    fn merge(
        &mut self,
        load: &impl Load,
        scanned: &mut Scanned,
        part: Part,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        if part.is_first() {
            self.report.records += scanned.records;
            self.report.bytes_scanned += scanned.bytes;
        }
        gathered.last_batch = gathered.last_batch.max(scanned.last_batch);
        self.next_sequence = self.next_sequence.max(scanned.next_sequence);
        let mut more = core::mem::take(&mut scanned.more).into_iter();
        for op in core::mem::take(&mut scanned.ops) {
            let more = if matches!(op.kind, Kind::PutLarge | Kind::Lost) { more.next() } else { None };
            self.admit(load, &op, more, gathered)?;
            gathered.ops += 1;
        }
        Ok(())
    }

    /// Walks a segment that has gaps again, now that the newest batch is known: judges each gap, and indexes what lies
    /// behind those that are damage. A torn tail's place and the number of its valid records are returned.
    fn scan_gaps(
        &mut self,
        load: &impl Load,
        header: &Header,
        may_be_torn: bool,
        part: Part,
        gathered: &mut Gathered,
    ) -> Result<Option<(u32, u64)>, Error> {
        let scanner = self.scanner(part);
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
                            self.admit(load, &op, more, gathered)?;
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
                        if part.is_first() {
                            self.damaged_records(header.index, from, to);
                        }
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
        self.space.quarantine(segment);
    }

    /// Puts a valid operation into the index, unless a newer one on its key is there; a removal among those that are
    /// gathered.
    fn admit(
        &mut self,
        load: &impl Load,
        op: &FoundOp,
        more: Option<More>,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let FoundOp { hash, place, sequence, cost, kind, expires_at_ms } = *op;
        let is_put = matches!(kind, Kind::Put | Kind::PutLarge);
        self.space.note_length(cost);
        if let Some(More::Lost(lost)) = more {
            self.space.count_removal(place, cost);
            return Ok(dram::push(&mut gathered.lost, (sequence, lost))?);
        }
        let old = self.find_other(load, op, gathered);
        if kind == Kind::Remove {
            self.space.count_removal(place, cost);
        }
        if let Some(old) = &old {
            // Equal numbers are an original and its copy; the copy lies in the younger segment.
            let age = |sequence, place| {
                let segment = self.geometry().segment_at(place).unwrap_or(0);
                (sequence, self.space.segment(segment).generation)
            };
            if age(old.header.sequence, old.place) >= age(sequence, place) {
                if is_put {
                    self.stale.add(self.stale.counter(hash));
                }
                return Ok(());
            }
            if old.header.is_put() {
                self.space.count_dead(old.place, old.header.cost());
                self.discount_expiry(old.header.expires_at_ms);
                self.stale.add(self.stale.counter(hash));
            }
        }
        self.reserve_in_recovery(kind, gathered)?;
        match &old {
            Some(old) if (old.header.kind == Kind::Remove) == (kind == Kind::Remove) => {
                self.index_of(kind, gathered).replace(old.slot, place);
            }
            old => {
                if let Some(old) = old {
                    self.index_of(old.header.kind, gathered).remove(hash, old.slot);
                }
                self.index_of(kind, gathered).insert(hash, place);
            }
        }
        if is_put {
            self.space.count_live(place, cost);
            self.count_expiry(expires_at_ms);
        }
        if let Some(More::Large(large)) = more {
            self.next_sequence = self.next_sequence.max(large.object.saturating_add(1));
            dram::push(&mut gathered.larges, (hash, place, cost, large))?;
        }
        Ok(())
    }

    /// The index in which recovery keeps operations of this kind.
    fn index_of<'a>(&'a mut self, kind: Kind, gathered: &'a mut Gathered) -> &'a mut Index {
        match kind {
            Kind::Chunk => &mut self.chunks,
            Kind::Remove => &mut gathered.removed,
            _ => &mut self.keys,
        }
    }

    /// Makes sure that one more operation can enter its index. What fitted while the pool was used fits now, if with
    /// other chains.
    fn reserve_in_recovery(&mut self, kind: Kind, gathered: &mut Gathered) -> Result<(), NoRoom> {
        let limit = self.memory_limit.saturating_add(self.memory_limit / 8);
        let room = limit.saturating_sub(self.dram() + gathered.removed.bytes());
        self.index_of(kind, gathered).reserve(1, room)
    }

    /// Finds the operation that is known of the key of `op`. Most keys have none of their hash, and are not looked at.
    fn find_other(&self, load: &impl Load, op: &FoundOp, gathered: &Gathered) -> Option<log::Found> {
        let indices = match op.kind {
            Kind::Chunk => [Some(&self.chunks), None],
            _ => [Some(&self.keys), Some(&gathered.removed)],
        };
        let known = |index: &&Index| index.find(op.hash, |_| true).is_some();
        let mut indices = indices.into_iter().flatten().filter(known).peekable();
        indices.peek()?;
        let header = self.peek(load, op.place, 0).ok()??.header;
        let mut key = Vec::new();
        self.append(load, op.place + header.key_at() as u64, header.key_len, &mut key).ok()?;
        indices.find_map(|index| self.find_in(index, load, op.hash, &key).ok().flatten())
    }

    /// Takes chunks out of the index again whose value is not there any more.
    fn finish(&mut self, load: &impl Load, larges: Vec<(u64, u64, u64, Large)>) -> Result<(), Error> {
        let mut kept = Index::new()?;
        for (hash, place, cost, large) in larges {
            if self.keys.find_place(hash, place).is_none() {
                continue;
            }
            if !self.keep_chunks(load, &large, &mut kept)? {
                self.note_damage(DamageKind::Value, place, cost);
            }
        }
        self.chunks = kept;
        Ok(())
    }

    /// Moves the chunks of a value that counts to `kept`. `false`, and nothing moved, if one is missing or in its place
    /// is an older one.
    fn keep_chunks(&mut self, load: &impl Load, large: &Large, kept: &mut Index) -> Result<bool, Error> {
        let mut ahead = 0u32;
        let mut chunks = Vec::new();
        for chunk in 0..large.chunks() {
            let key = large.chunk_key(chunk);
            let Some(found) = self.find_chunk(load, &key)? else { return Ok(false) };
            ahead = ahead.wrapping_add(large.ahead_by(chunk, found.header.sequence));
            dram::push(&mut chunks, (self.hash(&key), found.place, found.header.cost()))?;
        }
        if ahead != large.ahead {
            return Ok(false);
        }
        for (hash, place, cost) in chunks {
            let Some(slot) = self.chunks.find_place(hash, place) else { continue };
            self.chunks.remove(hash, slot);
            kept.reserve(1, u64::MAX)?;
            kept.insert(hash, place);
            self.space.count_live(place, cost);
        }
        Ok(true)
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
            let expected = memory.read(|load| Log::recover(&load, Source::Records, u64::MAX)).unwrap().unwrap().0;
            let shuffled = memory.read(|load| {
                Log::recover_by(&load, Source::Records, u64::MAX, |scanner, headers, merge| {
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
