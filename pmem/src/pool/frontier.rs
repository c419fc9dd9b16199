//! The log's frontier: where it goes on, with which numbers, and where the frames will go that are staged.
//!
//! Numbers only grow, and whoever takes one has it alone: what a number was given to is told apart from all else for
//! ever. Nothing here reads or writes the medium.

use crate::medium::LINE;
use crate::pool::record::LINK;
use crate::pool::segment::HEADER;

/// Where the next batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub segment: u32,
    /// In bytes from the segment's start; a multiple of a cache line.
    pub at: u32,
    /// Batches in the segment begin with a link.
    pub chained: bool,
}

impl Head {
    /// Bytes that a batch takes for its link.
    pub(crate) fn link_len(self) -> u32 {
        link_len(self.chained)
    }
}

const fn link_len(chained: bool) -> u32 {
    if chained { LINK as u32 } else { 0 }
}

/// Where the staged frames will go: the same reckoning that committing does, kept up frame by frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Free segments that will be taken.
    pub segments: u32,
    /// Where the next frame will go, in bytes from its segment's start.
    pub at: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Frontier {
    /// Where batches end at most, in bytes from a segment's start. A line is left behind it, for the segment's end.
    batch_limit: u32,
    /// Segments are opened with links.
    chained: bool,
    /// What the next batch says of those before.
    link: u64,
    head: Option<Head>,
    plan: Plan,
    next_sequence: u64,
    next_batch: u64,
    next_generation: u64,
    /// Operations up to this sequence number are void.
    cleared_through: u64,
    /// Whether the log's last record says that the pool was shut down.
    closed: bool,
}

impl Frontier {
    /// That of a pool with nothing in it.
    pub(crate) fn new(batch_limit: u32, chained: bool) -> Frontier {
        Frontier {
            batch_limit,
            chained,
            link: 0,
            head: None,
            plan: Plan { segments: 0, at: batch_limit },
            next_sequence: 1,
            next_batch: 1,
            next_generation: 1,
            cleared_through: 0,
            closed: true,
        }
    }

    /// Where the next batch goes, if a segment is open for it.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether a segment is the head's.
    pub(crate) fn is_head(&self, segment: u32) -> bool {
        self.head.is_some_and(|head| head.segment == segment)
    }

    /// Whether batches begin with a link in a segment that is opened now.
    pub(crate) fn is_chained(&self) -> bool {
        self.chained
    }

    /// What the next batch says of those before: the link of the newest one's receipt.
    pub(crate) fn link(&self) -> u64 {
        self.link
    }

    /// The next batch says this of those before.
    pub(crate) fn set_link(&mut self, link: u64) {
        self.link = link;
    }

    /// The number of the next operation.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The number of the next batch.
    pub(crate) fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// The number of the last batch that is durable, or that is known to have been written.
    pub(crate) fn newest_batch(&self) -> u64 {
        self.next_batch - 1
    }

    /// The number of the next use of any segment.
    pub(crate) fn next_generation(&self) -> u64 {
        self.next_generation
    }

    /// Operations up to this sequence number are void.
    pub(crate) fn cleared_through(&self) -> u64 {
        self.cleared_through
    }

    /// Whether the log's last record says that the pool was shut down.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the number of an operation.
    pub(crate) fn take_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    /// Takes the numbers of so many uses of segments; the first of them is returned.
    pub(crate) fn take_generations(&mut self, count: u64) -> u64 {
        let first = self.next_generation;
        self.next_generation += count;
        first
    }

    /// Leaves out the number of a batch that may have been written.
    pub(crate) fn pass_batch(&mut self) {
        self.next_batch += 1;
    }

    /// Makes a segment the head that was just opened, with the next generation.
    pub(crate) fn open_segment(&mut self, segment: u32) {
        debug_assert_eq!(self.head, None, "the head's segment was not ended");
        self.next_generation += 1;
        self.head = Some(Head { segment, at: HEADER, chained: self.chained });
        self.closed = false;
    }

    /// Notes that a batch of `len` bytes is durable at the head, and what the next one says of it.
    pub(crate) fn batch_written(&mut self, len: usize, link: u64) {
        self.next_batch += 1;
        self.link = link;
        self.head = self.head.map(|head| Head { at: head.at + (len as u32).next_multiple_of(LINE as u32), ..head });
        self.closed = false;
        debug_assert!(self.head.is_some_and(|head| head.at <= self.batch_limit + LINE as u32), "{:?}", self.head);
    }

    /// Leaves the head's segment: no batch follows in it.
    pub(crate) fn leave_segment(&mut self) {
        self.head = None;
    }

    /// Goes on at another place.
    pub(crate) fn move_to(&mut self, head: Head) {
        debug_assert!(head.at.is_multiple_of(LINE as u32), "{head:?}");
        self.head = Some(head);
    }

    /// Notes whether the log's last record says that the pool was shut down.
    pub(crate) fn set_closed(&mut self, closed: bool) {
        self.closed = closed;
    }

    /// Makes operations up to a sequence number void.
    pub(crate) fn clear_through(&mut self, through: u64) {
        debug_assert!(through < self.next_sequence, "{through} was not given to an operation");
        self.reach_clearing(through);
    }

    /// Operations of lower numbers than this are on the medium, or were.
    pub(crate) fn reach_sequence(&mut self, next: u64) {
        self.next_sequence = self.next_sequence.max(next);
    }

    /// Batches of lower numbers than this are on the medium, or were.
    pub(crate) fn reach_batch(&mut self, next: u64) {
        self.next_batch = self.next_batch.max(next);
    }

    /// Segments were used with lower generations than this.
    pub(crate) fn reach_generation(&mut self, next: u64) {
        self.next_generation = self.next_generation.max(next);
    }

    /// Operations up to this sequence number are void.
    pub(crate) fn reach_clearing(&mut self, through: u64) {
        self.cleared_through = self.cleared_through.max(through);
    }

    /// Reckons anew where the staged frames will go, of these lengths, behind a clearing or not.
    pub(crate) fn replan(&mut self, clearing: bool, frames: impl Iterator<Item = usize>) {
        self.plan = match (self.head, clearing) {
            (Some(head), false) => Plan { segments: 0, at: (head.at + head.link_len()).min(self.batch_limit) },
            (None, false) => Plan { segments: 0, at: self.batch_limit },
            (_, true) => Plan { segments: 1, at: HEADER + link_len(self.chained) },
        };
        frames.for_each(|len| self.plan_frame(len));
    }

    /// Plans one more frame.
    pub(crate) fn plan_frame(&mut self, len: usize) {
        self.plan = self.planned(len);
    }

    /// The plan with one more frame.
    pub(crate) fn planned(&self, len: usize) -> Plan {
        let Plan { segments, at } = self.plan;
        let len = len as u32;
        if len <= self.batch_limit - at {
            Plan { segments, at: at + len }
        } else {
            Plan { segments: segments + 1, at: HEADER + link_len(self.chained) + len }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{Frontier, Head, Plan, link_len};
    use crate::medium::LINE;
    use crate::pool::segment::HEADER;

    const LIMIT: u32 = (64 << 10) - LINE as u32;

    fn numbers(frontier: &Frontier) -> [u64; 4] {
        let Frontier { next_sequence, next_batch, next_generation, cleared_through, .. } = *frontier;
        [next_sequence, next_batch, next_generation, cleared_through]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_only_grow(steps in proptest::collection::vec((0..12u8, 1..400u64), 0..300)) {
            let mut frontier = Frontier::new(LIMIT, false);
            let mut taken = Vec::new();
            for (step, number) in steps {
                let before = numbers(&frontier);
                match step {
                    0 => taken.push(frontier.take_sequence()),
                    1 => _ = frontier.take_generations(number),
                    2 => frontier.pass_batch(),
                    3 if frontier.head().is_none() => frontier.open_segment(number as u32),
                    4 if frontier.head().is_some_and(|head| head.at + 400 <= LIMIT) => {
                        frontier.batch_written(number as usize, number);
                    }
                    5 => frontier.leave_segment(),
                    6 => frontier.move_to(Head { segment: number as u32, at: HEADER, chained: false }),
                    7 => frontier.clear_through(number.min(frontier.next_sequence() - 1)),
                    8 => frontier.reach_sequence(number),
                    9 => frontier.reach_batch(number),
                    10 => frontier.reach_generation(number),
                    _ => frontier.reach_clearing(number.min(frontier.next_sequence() - 1)),
                }
                let after = numbers(&frontier);
                prop_assert!(before.iter().zip(after).all(|(before, after)| *before <= after), "{before:?} {after:?}");
                prop_assert!(frontier.cleared_through() < frontier.next_sequence());
                prop_assert!(frontier.head().is_none_or(|head| head.at.is_multiple_of(LINE as u32)));
            }
            prop_assert!(taken.is_sorted_by(|first, second| first < second));
        }

        #[test]
        fn a_plan_kept_up_is_a_plan_reckoned_anew(
            at in 0..LIMIT / 64,
            clearing in any::<bool>(),
            chained in any::<bool>(),
            frames in proptest::collection::vec(40..30_000usize, 0..40),
        ) {
            let mut frontier = Frontier::new(LIMIT, chained);
            frontier.move_to(Head { segment: 1, at: HEADER + at * 64, chained });
            frontier.replan(clearing, core::iter::empty());
            frames.iter().for_each(|len| frontier.plan_frame(*len));
            let kept_up = frontier.plan;
            frontier.replan(clearing, frames.iter().copied());
            prop_assert_eq!(kept_up, frontier.plan);
            let begin = HEADER + link_len(chained);
            let longest = frontier.planned((LIMIT - begin) as usize);
            let opened = u32::from(kept_up.at > begin);
            prop_assert_eq!(longest, Plan { segments: kept_up.segments + opened, at: LIMIT });
        }
    }
}
