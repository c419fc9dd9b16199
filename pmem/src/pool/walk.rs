//! Walking the records of one segment: what is valid, what is not, and where it goes on.
//!
//! Recovery, cleaning and inspection all read segments through this. It believes nothing that a checksum does not
//! cover, and its work is bounded by a small multiple of the segment's length, whatever the bytes are.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::bad_ranges::BadRanges;
use crate::pool::chain::Chain;
use crate::pool::dram;
use crate::pool::record::{BATCH_LIMIT, FRAME_HEADER, FrameHeader, Kind, LEAST_FRAME, LINK, Large, Ops, Salt, link_of};
use crate::pool::segment::{HEADER, Header};
use crate::pool::superblock::Geometry;

/// How much is copied out of the medium at once.
const WINDOW: u32 = 64 << 10;

/// A walk over one segment. Positions are in bytes from the segment's start.
#[derive(Debug)]
pub(crate) struct Walk {
    bad: BadRanges,
    /// The segment's place on the medium.
    start: u64,
    /// Where records end at most.
    limit: u32,
    /// The longest frame. No longer one was ever written, and cleaning could not move it.
    longest: u32,
    salt: Salt,
    window: Vec<u8>,
    window_at: u32,
    /// Where the walk is.
    at: u32,
    /// The newest batch met. Records never go back: an older batch further on is a leftover.
    batch: u64,
    /// Batches begin with a link to those before.
    chained: bool,
    chain: Chain,
    /// What is before the next batch is not known.
    doubtful: bool,
    /// The number of the first batch, at the segment's first record, and its link.
    first: Option<(u64, u64)>,
    /// Where the first batch is that does not follow from the one before.
    broken: Option<u32>,
    /// Bytes that may still be checksummed in the search for records behind unreadable ones.
    budget: u64,
}

/// What a walk met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A valid frame.
    Frame { at: u32, header: FrameHeader },
    /// Bytes that are no frame, and a valid frame behind them. The walk stands before that frame. `tidy`: up to the
    /// next line the bytes are those of a complete batch's end.
    Gap { from: u32, to: u32, tidy: bool, next: FrameHeader },
    /// No valid frame from here on. `untidy`: the bytes here are not those of a complete batch's end.
    End { at: u32, untidy: bool },
}

impl Walk {
    /// Begins at a segment's first record. What lies in a bad range is no record.
    pub(crate) fn new(uuid: &[u8; 16], geometry: &Geometry, header: &Header, bad: &BadRanges) -> Walk {
        Walk {
            bad: bad.clone(),
            start: geometry.start_of(header.index),
            limit: geometry.segment_size - LINE as u32,
            longest: geometry.segment_size / 2,
            salt: Salt::new(uuid, header.generation),
            window: Vec::new(),
            window_at: 0,
            at: HEADER,
            batch: header.first_batch,
            chained: header.chained,
            chain: Chain::new(uuid),
            doubtful: false,
            first: None,
            broken: None,
            budget: 8 * u64::from(geometry.segment_size),
        }
    }

    /// Where the walk is.
    pub(crate) fn position(&self) -> u32 {
        self.at
    }

    /// The bytes of the frame that a step returned.
    pub(crate) fn frame(&self, at: u32, header: &FrameHeader) -> &[u8] {
        let from = (at - self.window_at) as usize;
        &self.window[from..from + header.len as usize]
    }

    /// The operations of the frame that a step returned.
    pub(crate) fn ops(&self, at: u32, header: &FrameHeader) -> Ops<'_> {
        let frame = self.frame(at, header);
        if self.has_link(at, header) { Ops::behind_link(frame) } else { Ops::of(frame) }
    }

    /// Whether a frame begins a batch with a link.
    fn has_link(&self, at: u32, header: &FrameHeader) -> bool {
        self.chained && header.line == 0 && at.is_multiple_of(LINE as u32)
    }

    /// What the batch that comes next has to say of those before.
    pub(crate) fn chain(&self) -> Chain {
        self.chain
    }

    /// The number of the first batch and its link, if it has one and can be read.
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.first
    }

    /// Where the first batch is that does not follow from the one before.
    pub(crate) fn broken(&self) -> Option<u32> {
        self.broken
    }

    /// Goes on by one frame or gap.
    pub(crate) fn step(&mut self, load: &impl Load) -> Result<Step, Error> {
        let from = self.at;
        if let Some(header) = self.check(load, from)? {
            return Ok(self.accept(from, header));
        }
        let line = from.next_multiple_of(LINE as u32);
        let tidy = line == from || self.is_zero(load, from, line)?;
        // A batch that ends within a line is followed by zeros and the next batch.
        if tidy
            && line != from
            && let Some(header) = self.check(load, line)?
            && header.line == 0
        {
            return Ok(self.accept(line, header));
        }
        let mut search = from + 8;
        while let Some(to) = self.next_candidate(load, search)? {
            if let Some(next) = self.check(load, to)? {
                if self.closes(to, &next, from) {
                    return Ok(self.accept(to, next));
                }
                self.at = to;
                self.doubtful = true;
                return Ok(Step::Gap { from, to, tidy, next });
            }
            search = to + 8;
        }
        // Something of this use of the segment, too damaged to be read, is not how a complete batch ends either.
        let begun = tidy && self.looks_begun(load, line)?;
        Ok(Step::End { at: from, untidy: !tidy || begun })
    }

    fn accept(&mut self, at: u32, header: FrameHeader) -> Step {
        self.follow(at, &header);
        self.at = at + header.len;
        self.batch = header.batch;
        Step::Frame { at, header }
    }

    /// Follows the chain to a frame.
    fn follow(&mut self, at: u32, header: &FrameHeader) {
        if self.has_link(at, header)
            && let Some(link) = link_of(self.frame(at, header))
        {
            if at == HEADER {
                self.first = Some((header.batch, link));
            } else if !self.doubtful && self.chain.link(header.batch) != link {
                self.broken = self.broken.or(Some(at));
            }
            self.doubtful = false;
            self.chain.begin(link);
        }
        self.chain.add(header.checksum);
    }

    /// Whether the frame at `at` says that what lies between `from` and itself was never acknowledged.
    fn closes(&self, at: u32, header: &FrameHeader, from: u32) -> bool {
        self.ops(at, header)
            .any(|op| matches!(op.header.kind, Kind::Cut | Kind::End) && op.value == u64::from(from).to_le_bytes())
    }

    /// Checks for a valid frame at `at`.
    fn check(&mut self, load: &impl Load, at: u32) -> Result<Option<FrameHeader>, Error> {
        let Some(header) = self.peek(load, at)? else { return Ok(None) };
        let batch_start = u64::from(at) / LINE * LINE;
        let link = if self.has_link(at, &header) { LINK } else { 0 };
        let sound = header.len as usize >= LEAST_FRAME + link
            && header.len.is_multiple_of(8)
            && header.len <= (self.longest + link as u32).min(self.limit - at)
            && (self.batch..BATCH_LIMIT).contains(&header.batch)
            && u64::from(header.line) * LINE + u64::from(HEADER) <= batch_start;
        if !sound || u64::from(header.len) > self.budget {
            return Ok(None);
        }
        self.fill(load, at, header.len)?;
        let frame = self.frame(at, &header);
        if self.salt.checksum(self.start + u64::from(at), frame) != header.checksum {
            self.budget -= u64::from(header.len);
            return Ok(None);
        }
        let mut ops = self.ops(at, &header);
        let sound = ops.by_ref().all(|op| op.header.kind != Kind::PutLarge || Large::decode(op.value).is_some());
        Ok((sound && ops.is_whole()).then_some(header))
    }

    /// The next place, from `from` on, whose bytes could be a frame's header: what makes searching a whole segment
    /// cheap.
    fn next_candidate(&mut self, load: &impl Load, from: u32) -> Result<Option<u32>, Error> {
        let mut at = from;
        while at + LEAST_FRAME as u32 <= self.limit {
            self.fill(load, at, FRAME_HEADER as u32)?;
            let bytes = &self.window[(at - self.window_at) as usize..];
            let (words, _) = bytes.as_chunks::<8>();
            let found = words.windows(2).position(|pair| {
                pair.as_flattened().first_chunk().map(FrameHeader::decode).is_some_and(|header| {
                    header.len >= LEAST_FRAME as u32
                        && header.len <= self.longest + LINK as u32
                        && header.batch >= self.batch
                        && header.batch < BATCH_LIMIT
                })
            });
            match found {
                Some(position) => return Ok(Some(at + 8 * position as u32)),
                None => at += 8 * (words.len() as u32 - 1),
            }
        }
        Ok(None)
    }

    /// The frame header at `at`, if there is room for one.
    fn peek(&mut self, load: &impl Load, at: u32) -> Result<Option<FrameHeader>, Error> {
        if at + LEAST_FRAME as u32 > self.limit {
            return Ok(None);
        }
        self.fill(load, at, FRAME_HEADER as u32)?;
        let from = (at - self.window_at) as usize;
        Ok(self.window[from..].first_chunk().map(FrameHeader::decode))
    }

    /// Whether the bytes look like a frame of this use of the segment that did not become whole.
    fn looks_begun(&mut self, load: &impl Load, at: u32) -> Result<bool, Error> {
        Ok(self.peek(load, at)?.is_some_and(|header| {
            header.len as usize >= LEAST_FRAME
                && header.len.is_multiple_of(8)
                && header.len <= self.limit - at
                && (self.batch..=self.batch + 1).contains(&header.batch)
        }))
    }

    fn is_zero(&mut self, load: &impl Load, from: u32, to: u32) -> Result<bool, Error> {
        self.fill(load, from, to - from)?;
        let at = (from - self.window_at) as usize;
        Ok(self.window[at..at + (to - from) as usize].iter().all(|byte| *byte == 0))
    }

    /// Makes sure that the window holds these bytes, which lie before the limit.
    fn fill(&mut self, load: &impl Load, at: u32, len: u32) -> Result<(), Error> {
        let end = self.window_at as usize + self.window.len();
        if at >= self.window_at && (at + len) as usize <= end {
            return Ok(());
        }
        let bytes = len.max(WINDOW).min(self.limit - at);
        dram::resize(&mut self.window, bytes as usize)?;
        self.window_at = at;
        self.bad.load_readable(load, self.start + u64::from(at), &mut self.window)?;
        Ok(())
    }
}
