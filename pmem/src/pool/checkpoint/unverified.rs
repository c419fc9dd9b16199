//! Which segments hold records that an opening from a checkpoint has not verified yet.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::Load;
use crate::pool::dram::{NoRoom, with_room};
use crate::pool::frontier::Head;
use crate::pool::record::Kind;
use crate::pool::segment::State;
use crate::pool::space::Space;
use crate::pool::walk::{Step, Walk};

/// Segments whose records are still to be verified.
#[derive(Debug)]
pub(crate) struct Unverified {
    segments: Vec<bool>,
    left: u32,
    /// Where the log ended when the pool was opened.
    end: Head,
    /// The walk of who verifies by and by.
    walk: Option<(u32, Walk)>,
}

/// How the verification of a segment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Whole,
    Damaged,
    Unfinished,
}

impl Unverified {
    /// All segments in which records are, `end` being where the log ends.
    pub(super) fn new(space: &Space, end: Head) -> Result<Unverified, NoRoom> {
        let mut segments = with_room(space.segments().len())?;
        segments.extend(space.segments().iter().map(|segment| segment.state == State::Used));
        Ok(Unverified { left: segments.iter().filter(|it| **it).count() as u32, segments, end, walk: None })
    }

    /// Whether the records of a segment are still to be verified.
    pub(super) fn has(&self, segment: u32) -> bool {
        self.segments[segment as usize]
    }

    /// The first of the segments.
    pub(super) fn first(&self) -> u32 {
        self.segments.iter().position(|it| *it).unwrap_or(0) as u32
    }

    /// Takes a segment out. Says whether any is left.
    pub(super) fn remove(&mut self, segment: u32) -> bool {
        self.left -= u32::from(core::mem::replace(&mut self.segments[segment as usize], false));
        self.left > 0
    }

    /// The walk that was begun by and by, if its segment is still to be verified.
    pub(super) fn take_walk(&mut self) -> Option<(u32, Walk)> {
        self.walk.take().filter(|(segment, _)| self.segments[*segment as usize])
    }

    /// Keeps a walk to go on with by and by.
    pub(super) fn keep_walk(&mut self, segment: u32, walk: Walk) {
        self.walk = Some((segment, walk));
    }

    /// Walks on for about `budget` bytes.
    pub(super) fn walk_on(
        &self,
        load: &impl Load,
        segment: u32,
        walk: &mut Walk,
        budget: u32,
    ) -> Result<Progress, Error> {
        let begin = walk.position();
        while walk.position() - begin < budget {
            let step = walk.step(load)?;
            if walk.broken().is_some() {
                return Ok(Progress::Damaged);
            }
            match step {
                Step::Frame { at, header } => {
                    if walk.ops(at, &header).any(|op| op.header.kind == Kind::End) {
                        return Ok(Progress::Whole);
                    }
                }
                Step::Gap { .. } => return Ok(Progress::Damaged),
                // What came since is known to be whole.
                Step::End { at, .. } if self.end.segment == segment && at >= self.end.at => return Ok(Progress::Whole),
                Step::End { .. } => return Ok(Progress::Damaged),
            }
        }
        Ok(Progress::Unfinished)
    }
}
