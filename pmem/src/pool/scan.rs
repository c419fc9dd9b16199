//! Scanning: what the records of one segment say, found out without anything that is shared.
//!
//! Segments are scanned in any order and on any threads; what was found is put together by one (`recover`).

use alloc::vec::Vec;

use siphasher::sip::SipHasher13;

use crate::error::Error;
use crate::medium::Load;
use crate::pool::bad_ranges::BadRanges;
use crate::pool::chain::Chain;
use crate::pool::dram;
use crate::pool::record::{FrameOp, Kind, Large, Lost};
use crate::pool::segment::Header;
use crate::pool::superblock::Geometry;
use crate::pool::walk::{Step, Walk};

/// What scans segments, one or many at a time.
///
/// Each thread that scans takes a read grant of its own, so a medium must let several threads read at once. A program
/// with threads implements this by them; [`Sequential`] needs none.
pub trait Executor {
    /// Calls `scan` once with every number below `jobs`, in any order and on any threads, and `merge` with everything
    /// that it returned, in any order, on this thread.
    fn run<T: Send>(&self, jobs: usize, scan: impl Fn(usize) -> T + Sync, merge: impl FnMut(T));
}

/// The thread that opens the pool scans it, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential;

impl Executor for Sequential {
    fn run<T: Send>(&self, jobs: usize, scan: impl Fn(usize) -> T + Sync, merge: impl FnMut(T)) {
        (0..jobs).map(scan).for_each(merge);
    }
}

/// How far an opening is that reads every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments read, or made.
    pub bytes: u64,
    /// Bytes of segments to read, or to make.
    pub of_bytes: u64,
    /// Records found.
    pub records: u64,
}

/// What it takes to scan a segment.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    pub uuid: [u8; 16],
    pub geometry: Geometry,
    pub hasher: SipHasher13,
    pub bad: BadRanges,
    pub part: Part,
}

/// Some of the keys, by their hash: those that one reading of the segments is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub number: u32,
    /// How many parts there are, a power of two.
    pub of: u32,
}

impl Part {
    /// Whether this is the first part, with which all that does not belong to a key is read.
    pub(crate) fn is_first(self) -> bool {
        self.number == 0
    }

    /// Whether a key of this hash belongs to it. By bits that a lost key's record has, too.
    fn has(self, hash: u64) -> bool {
        (hash >> 16) as u32 & (self.of - 1) == self.number
    }
}

/// An operation on a key, or a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundOp {
    pub hash: u64,
    pub place: u64,
    pub sequence: u64,
    pub cost: u64,
    pub kind: Kind,
    pub expires_at_ms: Option<u64>,
}

/// What recovery has to know of some operations besides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum More {
    Large(Large),
    Lost(Lost),
}

/// What one segment's walk found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Those before the first gap, in the order of the segment.
    pub ops: Vec<FoundOp>,
    /// What those of them say that are large values or lost keys, in the same order.
    pub more: Vec<More>,
    /// There are bytes that are no record, with records behind them, of which only numbers were taken note: whether
    /// they count is known when the newest batch of the whole medium is.
    pub gaps: bool,
    pub sealed: bool,
    pub closed: bool,
    pub end: u32,
    pub untidy: bool,
    pub records: u64,
    /// Operations of kinds that this version does not know and may pass over.
    pub passed_over: u64,
    pub bytes: u64,
    pub last_batch: u64,
    pub next_sequence: u64,
    /// The number of the first batch and its link, if it has one and can be read.
    pub first: Option<(u64, u64)>,
    /// What the batch behind the last one has to say of those before.
    pub chain: Option<Chain>,
    /// Where the first batch is that does not follow from the one before.
    pub broken: Option<u32>,
}

impl Scanner {
    /// Takes down an operation of the frame at `start`, if it is of this part and recovery has anything to do with it.
    pub(crate) fn found(&self, start: u64, op: &FrameOp<'_>) -> Option<(FoundOp, Option<More>)> {
        let more = match op.header.kind {
            Kind::End | Kind::Cut | Kind::Close | Kind::PassedOver => return None,
            Kind::PutLarge => Some(More::Large(Large::decode(op.value)?)),
            Kind::Lost => Some(More::Lost(Lost::decode(op.key)?)),
            Kind::Put | Kind::Remove | Kind::Chunk => None,
        };
        let hash = self.hasher.hash(op.key);
        let of_part = match &more {
            _ if op.header.kind == Kind::Chunk => self.part.is_first(),
            Some(More::Lost(lost)) => self.part.has(lost.hash),
            _ => self.part.has(hash),
        };
        if !of_part {
            return None;
        }
        let found = FoundOp {
            hash,
            place: start + op.at as u64,
            sequence: op.header.sequence,
            cost: op.header.cost(),
            kind: op.header.kind,
            expires_at_ms: op.header.expires_at_ms,
        };
        Some((found, more))
    }

    /// Walks a segment.
    pub(crate) fn scan(&self, load: &impl Load, header: &Header) -> Result<Scanned, Error> {
        let mut walk = Walk::new(&self.uuid, &self.geometry, header, &self.bad);
        let segment = self.geometry.start_of(header.index);
        let mut scanned = Scanned::default();
        loop {
            let step = walk.step(load)?;
            (scanned.first, scanned.chain, scanned.broken) = (walk.first(), Some(walk.chain()), walk.broken());
            match step {
                Step::Frame { at, header: frame } => {
                    scanned.records += 1;
                    scanned.bytes += u64::from(frame.len);
                    scanned.last_batch = scanned.last_batch.max(frame.batch);
                    scanned.closed = false;
                    for op in walk.ops(at, &frame) {
                        scanned.closed |= op.header.kind == Kind::Close;
                        scanned.sealed |= op.header.kind == Kind::End;
                        scanned.passed_over += u64::from(op.header.kind == Kind::PassedOver);
                        scanned.next_sequence = scanned.next_sequence.max(op.header.sequence + 1);
                        if !scanned.gaps
                            && let Some((found, more)) = self.found(segment + u64::from(at), &op)
                        {
                            dram::push(&mut scanned.ops, found)?;
                            if let Some(more) = more {
                                dram::push(&mut scanned.more, more)?;
                            }
                        }
                    }
                    if scanned.sealed {
                        return Ok(scanned);
                    }
                }
                Step::Gap { .. } => scanned.gaps = true,
                Step::End { at, untidy } => return Ok(Scanned { end: at, untidy, ..scanned }),
            }
        }
    }
}
