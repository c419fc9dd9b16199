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

mod admit;
mod ends;
mod generations;
mod headers;
mod repairs;

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::bad_ranges::AREA;
use crate::pool::chain::Chain;
use crate::pool::checkpoint::Verdict;
use crate::pool::dram;
use crate::pool::frontier::Head;
use crate::pool::index::Index;
use crate::pool::log::Log;
use crate::pool::media::Media;
use crate::pool::record::{BATCH_LIMIT, Large, Lost, SEQUENCE_LIMIT};
use crate::pool::recover::ends::LogEnd;
use crate::pool::recover::repairs::Repairs;
use crate::pool::report::{Checkpoint, DamageKind, Tail};
use crate::pool::scan::{Part, Scanned, Scanner};
use crate::pool::segment::{GENERATION_LIMIT, Header, State};
use crate::pool::superblock::{Found, Superblock};

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
        let Found { superblock, damage, unfinished } = Superblock::read(load)?;
        let tables = Log::least_dram(&superblock.geometry);
        let no_memory = Error::NoMemory { needed: tables };
        if memory < tables {
            return Err(no_memory);
        }
        let (media, is_list_lost) = Media::read(load, &superblock)?;
        let mut log = Log::new(superblock, media).map_err(|_| no_memory)?;
        log.catalog.limit_memory(memory);
        let mut repairs = Repairs { superblock: unfinished, ..Repairs::default() };
        log.findings.extend(damage);
        log.findings.set_unused(load.size() - log.geometry().len);
        log.findings.set_bad_ranges(log.media.bad().to_vec());
        if is_list_lost {
            log.note_damage(DamageKind::BadRanges, AREA.start, AREA.end - AREA.start);
        }
        let (mut used, told) = log.read_headers(load, &mut repairs)?;
        log.check_numbers()?;
        log.set_bad_aside();
        // Where bytes are bad, lost keys are looked for in the records, too.
        let doubtful = !log.media.bad().is_empty()
            || !log.findings.damage().is_empty()
            || !repairs.headers.is_empty()
            || !repairs.void.is_empty()
            || !repairs.joined.is_empty();
        let mut proven_end = None;
        match log.judge_checkpoint(load, &mut used, doubtful)? {
            Verdict::Sound(sound) if source == Source::Checkpoint => {
                repairs.chain = sound.chain();
                let bytes = match log.take_checkpoint(sound) {
                    Ok(bytes) => bytes,
                    // A table is read as large as it was; what the records fill may be smaller.
                    Err(Error::NoMemory { .. }) => {
                        drop(log);
                        let read = Self::recover_in_parts(load, Source::Records, memory, parts, scan_all);
                        let (mut log, repairs) = read?;
                        let why = "it takes more memory than there is";
                        log.findings.set_checkpoint(Checkpoint::Refused { why });
                        return Ok((log, repairs));
                    }
                    Err(error) => return Err(error),
                };
                repairs.root = true;
                log.findings.set_checkpoint(Checkpoint::Used { bytes });
                log.findings.set_keys(log.catalog.keys().len());
                log.replan();
                return Ok((log, repairs));
            }
            Verdict::None => log.judge_generations(told, &mut used, &mut repairs)?,
            Verdict::Sound(_) => repairs.root = true,
            Verdict::Refused(why) => {
                repairs.root = true;
                log.judge_generations(told, &mut used, &mut repairs)?;
                log.findings.set_checkpoint(Checkpoint::Refused { why });
            }
            Verdict::Contradicted { why, end, outdated } => {
                repairs.root = true;
                repairs.leave_alone(outdated);
                proven_end = end;
                log.findings.set_checkpoint(Checkpoint::Refused { why });
            }
        }
        repairs.void.extend(log.space.those(State::Checkpoint));
        let mut gathered = Gathered {
            last_batch: log.frontier.newest_batch(),
            ops: 0,
            removed: Index::new()?,
            larges: Vec::new(),
            lost: Vec::new(),
        };
        let mut end = LogEnd { tail: Tail::Clean, incomplete: Vec::new(), before_newest: None };
        for part in 0..parts {
            let part = Part { number: part, of: parts };
            let ends = log.scan_part(load, &used, part, &mut gathered, &mut *scan_all)?;
            if part.is_first() {
                end = log.judge_ends(&used, ends, proven_end, &mut repairs)?;
            }
            let incomplete = core::mem::take(&mut end.incomplete);
            for (header, may_be_torn) in &incomplete {
                if let Some((cut, discarded, chain)) = log.scan_gaps(load, header, *may_be_torn, part, &mut gathered)?
                    && part.is_first()
                {
                    let offset = log.geometry().start_of(header.index) + u64::from(cut);
                    end.tail = Tail::Torn { offset, discarded };
                    repairs.cut = Some(cut);
                    repairs.chain = Some(chain).filter(Chain::has_begun).or(end.before_newest);
                    let at = cut.next_multiple_of(LINE as u32);
                    log.frontier.move_to(Head { segment: header.index, at, chained: header.chained });
                    log.frontier.set_closed(false);
                }
            }
            end.incomplete = incomplete;
            for (sequence, lost) in core::mem::take(&mut gathered.lost) {
                log.admit_lost(load, lost, sequence, &gathered.removed)?;
            }
            gathered.removed.clear(0, gathered.removed.page_to_clear()?);
        }
        if let Some(head) = log.frontier.head() {
            repairs.seal = log.space.segment(head.segment).state == State::Quarantined
                || head.chained != log.frontier.is_chained();
        }
        log.frontier.reach_batch(gathered.last_batch + 1);
        log.go_on_from(&repairs);
        log.check_numbers()?;
        log.finish(load, gathered.larges)?;
        log.findings.set_end(end.tail, log.catalog.lost_count());
        log.findings.set_keys(log.catalog.keys().len());
        log.findings.sort();
        log.replan();
        Ok((log, repairs))
    }

    /// Refuses numbers that no pool ever reached: going on from them would end at ones that nobody reads.
    fn check_numbers(&self) -> Result<(), Error> {
        let possible = self.frontier.next_sequence() <= SEQUENCE_LIMIT / 2
            && self.frontier.next_batch() <= BATCH_LIMIT / 2
            && self.frontier.next_generation() <= GENERATION_LIMIT / 2;
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
        let so_far = self.catalog.index_bytes() + gathered.removed.bytes();
        let index = match gathered.ops {
            0..FEW => all.saturating_mul(USUAL),
            ops => (u128::from(so_far) * u128::from(all) / u128::from(ops)) as u64,
        };
        Error::NoMemory { needed: self.dram() - self.catalog.index_bytes() + index.max(so_far) }
    }

    fn scanner(&self, part: Part) -> Scanner {
        let uuid = self.superblock.uuid;
        Scanner { uuid, geometry: *self.geometry(), hasher: self.catalog.hasher(), bad: self.media.bad().clone(), part }
    }
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
            prop_assert_eq!(shuffled.findings.report(), expected.findings.report());
            let end = |log: &Log| (log.frontier.head(), log.frontier.next_sequence(), log.frontier.next_batch());
            prop_assert_eq!(end(&shuffled), end(&expected));
        }
    }
}
