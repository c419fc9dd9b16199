//! Scrubbing: reading records again whose checksums were right once, before somebody needs them.
//!
//! A pass goes through the segments in order, in steps whose cost is bounded, and passes over what is free or set
//! aside. What is not as it was written any more is treated like an error of the medium: the place is not used again,
//! what is whole moves away, and keys whose records were hit are lost until they are written anew.

use crate::error::Error;
use crate::medium::{Load, Medium};
use crate::pool::Pool;
use crate::pool::log::Log;
use crate::pool::record::Kind;
use crate::pool::segment::{HEADER, Header, HeaderPair, State};
use crate::pool::walk::{Step, Walk};

use core::ops::Range;

/// How far scrubbing has come since the pool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrub {
    /// Where the pass stands, in bytes from the medium's start; 0 between passes.
    pub position: u64,
    /// Passes completed.
    pub passes: u64,
    /// Bytes verified.
    pub bytes: u64,
    /// Places found that were not as they were written.
    pub errors: u64,
}

/// The pass that is under way.
#[derive(Debug, Default)]
pub(crate) struct Scrubbing {
    progress: Scrub,
    segment: u32,
    /// The walk over that segment, with the generation that it is of.
    walk: Option<(u64, Walk)>,
}

impl<M: Medium> Pool<M> {
    /// Verifies about `budget` bytes of records more, and begins a new pass if the last one is complete. Says whether
    /// this step ended a pass. Nothing may be left that an opening from a checkpoint has to read
    /// ([`Pool::read_ahead`]).
    pub fn scrub(&mut self, budget: u64) -> Result<bool, Error> {
        let Pool { medium, log, scrubbing } = self;
        Self::poll_media_errors(medium, log)?;
        let (ended, damaged) = medium.read(|load| log.scrub_segments(&load, scrubbing, budget))??;
        if let Some(range) = damaged {
            scrubbing.progress.errors += 1;
            medium.write(|store| log.set_aside(&store, range))??;
        }
        Ok(ended)
    }

    /// How far scrubbing has come.
    pub fn scrub_progress(&self) -> Scrub {
        self.scrubbing.progress
    }
}

impl Log {
    /// Walks on until the budget is spent, the pass ends, or something is found. Says whether the pass ended, and what
    /// was found.
    fn scrub_segments(
        &self,
        load: &impl Load,
        scrubbing: &mut Scrubbing,
        budget: u64,
    ) -> Result<(bool, Option<Range<u64>>), Error> {
        let mut left = budget.max(1);
        while left > 0 {
            if scrubbing.segment >= self.geometry().segments {
                scrubbing.progress.passes += 1;
                (scrubbing.segment, scrubbing.progress.position, scrubbing.walk) = (0, 0, None);
                return Ok((true, None));
            }
            let Some(mut walk) = self.walk_to_scrub(load, scrubbing)? else {
                scrubbing.segment += 1;
                scrubbing.walk = None;
                continue;
            };
            let start = self.geometry().start_of(scrubbing.segment);
            let head = self.frontier.head().filter(|head| head.segment == scrubbing.segment);
            let before = walk.position();
            let end = head.map_or(self.geometry().segment_size, |head| head.at);
            let mut over = before >= end;
            let mut damaged = None;
            // The segment that is being filled is read at once, for the walk does not see what is written behind it.
            while !over && damaged.is_none() && (head.is_some() || u64::from(walk.position() - before) < left) {
                match walk.step(load)? {
                    Step::Frame { at, header } => {
                        let sealed = walk.ops(at, &header).any(|op| op.header.kind == Kind::End);
                        over = sealed || walk.position() >= end;
                    }
                    Step::Gap { from, to, .. } => damaged = Some(from..to),
                    // A batch ends with zeros up to the head.
                    Step::End { at, .. } if head.is_some_and(|head| at.next_multiple_of(HEADER) == head.at) => {
                        over = true
                    }
                    Step::End { at, .. } => damaged = Some(at..head.map_or(self.batch_limit(), |head| head.at)),
                }
            }
            let walked = u64::from(walk.position() - before);
            left = left.saturating_sub(walked.max(1));
            scrubbing.progress.bytes += walked;
            scrubbing.progress.position = start + u64::from(walk.position());
            if over || damaged.is_some() {
                scrubbing.segment += 1;
            } else {
                scrubbing.walk = Some((self.space.segment(scrubbing.segment).generation, walk));
            }
            if let Some(damaged) = damaged {
                return Ok((false, Some(start + u64::from(damaged.start)..start + u64::from(damaged.end))));
            }
        }
        Ok((false, None))
    }

    /// The walk over the segment whose turn it is; `None` if there is nothing to verify in it.
    fn walk_to_scrub(&self, load: &impl Load, scrubbing: &mut Scrubbing) -> Result<Option<Walk>, Error> {
        let segment = self.space.segment(scrubbing.segment);
        if segment.state != State::Used {
            return Ok(None);
        }
        match scrubbing.walk.take() {
            // The same use of the segment as when the walk began.
            Some((generation, walk)) if generation == segment.generation => return Ok(Some(walk)),
            // It was freed and used again since.
            Some(_) => return Ok(None),
            None => {}
        }
        let uuid = &self.superblock.uuid;
        Ok(match Header::read(load, uuid, self.geometry(), scrubbing.segment, self.media.bad())? {
            HeaderPair::Readable { header, .. } if header.state == State::Used => {
                Some(Walk::new(uuid, self.geometry(), &header, self.media.bad()))
            }
            _ => None,
        })
    }
}
