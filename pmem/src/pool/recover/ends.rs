//! How each segment ends, and what its gaps are: a torn tail or damage.

use alloc::vec::Vec;

use super::{Gathered, Repairs};
use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::chain::Chain;
use crate::pool::dram::{self, NoRoom};
use crate::pool::frontier::Head;
use crate::pool::log::Log;
use crate::pool::record::{FrameHeader, Kind};
use crate::pool::report::{DamageKind, Tail};
use crate::pool::scan::{Part, Scanned};
use crate::pool::segment::{HEADER, Header};
use crate::pool::walk::{Step, Walk};

/// How the log ends, and which segments have gaps before their ends, and may be torn there.
#[derive(Debug)]
pub(super) struct LogEnd {
    pub tail: Tail,
    pub incomplete: Vec<(Header, bool)>,
    /// What the first batch of the newest segment says of those before, if they are there.
    pub before_newest: Option<Chain>,
}

impl Log {
    /// Judges how each segment ended: where the log goes on, and what is damaged.
    pub(super) fn judge_ends(
        &mut self,
        used: &[Header],
        ends: Vec<Option<Scanned>>,
        proven_end: Option<Head>,
        repairs: &mut Repairs,
    ) -> Result<LogEnd, NoRoom> {
        let mut tail = Tail::Clean;
        let mut incomplete = Vec::new();
        // What the next batch says of those before, and the number of the last one of them.
        let mut before: Option<(Chain, u64)> = None;
        let mut before_newest = None;
        for (position, (header, scanned)) in used.iter().zip(ends).enumerate() {
            let Some(scanned) = scanned else { continue };
            // The segment before it is there, and ended with the batch before.
            let follows = before.filter(|(_, last)| last + 1 == header.first_batch).map(|(chain, _)| chain);
            self.judge_chain(header, &scanned, follows);
            before_newest = follows;
            repairs.chain = scanned.chain.filter(Chain::has_begun).or(follows);
            before = scanned.chain.filter(|_| scanned.sealed).map(|chain| (chain, scanned.last_batch));
            let newest = position + 1 == used.len();
            let (gaps, sealed) = (scanned.gaps, scanned.sealed);
            let missing = proven_end.filter(|end| end.segment == header.index && scanned.end + LINE as u32 <= end.at);
            if sealed {
                // Complete, gaps aside.
            } else if let Some(end) = missing {
                self.damaged_records(header.index, scanned.end, end.at);
                self.frontier.move_to(end);
            } else if newest {
                let at = scanned.end.next_multiple_of(LINE as u32);
                self.frontier.move_to(Head { segment: header.index, at, chained: header.chained });
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
                self.frontier.set_closed(tail == Tail::Clean);
            } else {
                self.damaged_records(header.index, scanned.end, self.batch_limit().max(scanned.end + 1));
            }
            if gaps {
                dram::push(&mut incomplete, (*header, newest && !sealed))?;
            }
        }
        Ok(LogEnd { tail, incomplete, before_newest })
    }

    /// Walks a segment that has gaps again, now that the newest batch is known: judges each gap, and indexes what lies
    /// behind those that are damage. Returned are a torn tail's place, the number of its valid records, and what the
    /// batch in its place says of those before.
    pub(super) fn scan_gaps(
        &mut self,
        load: &impl Load,
        header: &Header,
        may_be_torn: bool,
        part: Part,
        gathered: &mut Gathered,
    ) -> Result<Option<(u32, u64, Chain)>, Error> {
        let scanner = self.scanner(part);
        let segment = self.geometry().start_of(header.index);
        let mut walk = Walk::new(&self.superblock.uuid, self.geometry(), header, self.media.bad());
        let mut counts = false;
        let mut torn = None;
        loop {
            let before = walk.chain();
            match walk.step(load)? {
                Step::Frame { at, header: frame } => {
                    if let Some((_, discarded, _)) = &mut torn {
                        *discarded += 1;
                        continue;
                    }
                    let mut sealed = false;
                    for op in walk.ops(at, &frame) {
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
                        torn = Some((from, 0, before));
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

    /// Notes where a segment's batches do not follow from each other, or from those of the segment before. They count,
    /// for nobody knows which of them are the ones that do not belong here.
    fn judge_chain(&mut self, header: &Header, scanned: &Scanned, before: Option<Chain>) {
        let unlike = |(batch, link): (u64, u64)| before.is_some_and(|chain| chain.link(batch) != link);
        let place = if scanned.first.is_some_and(unlike) { Some(HEADER) } else { scanned.broken };
        if let Some(at) = place {
            let start = self.geometry().start_of(header.index);
            self.note_damage(DamageKind::OtherHistory, start + u64::from(at), LINE);
            self.space.quarantine(header.index);
        }
    }

    /// Notes records that are not readable, and sets their segment aside.
    fn damaged_records(&mut self, segment: u32, from: u32, to: u32) {
        let start = self.geometry().start_of(segment);
        self.note_damage(DamageKind::Records, start + u64::from(from), u64::from(to - from));
        self.space.quarantine(segment);
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
