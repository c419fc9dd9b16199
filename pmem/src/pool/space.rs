//! The accounts of the pool's space: what each segment is in use for, and how much in it counts.
//!
//! Every segment is in one state at any time, and a number is kept of those in each: free ones, those set aside and all
//! others make up the segments of the pool, whoever changes what. Nothing here reads or writes the medium.

use alloc::vec::Vec;

use crate::pool::dram::{NoRoom, filled};
use crate::pool::segment::{HEADER, Segment, State};
use crate::pool::superblock::Geometry;

/// How many states there are.
const STATES: usize = 5;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    geometry: Geometry,
    segments: Vec<Segment>,
    /// How many segments are in each state.
    in_state: [u32; STATES],
    /// Bytes of live puts and chunks, of all segments.
    live: u64,
    /// Bytes of removals, of all segments.
    removals: u64,
    /// The longest operation that cleaning may have to move, in bytes, with its frame header.
    largest: u64,
}

impl Space {
    /// That of a pool with nothing in it.
    pub(crate) fn new(geometry: Geometry) -> Result<Space, NoRoom> {
        let segments = filled(geometry.segments as usize, Segment::UNUSED)?;
        Ok(Self::of(geometry, segments, 0, 0, 0))
    }

    /// That of a pool with such segments and sums, one for each segment of the geometry.
    pub(crate) fn of(geometry: Geometry, segments: Vec<Segment>, live: u64, removals: u64, largest: u64) -> Space {
        let mut in_state = [0; STATES];
        segments.iter().for_each(|segment| in_state[segment.state as usize] += 1);
        Space { geometry, segments, in_state, live, removals, largest }
    }

    /// DRAM that the accounts of a pool take, in bytes.
    pub(crate) fn dram(geometry: &Geometry) -> u64 {
        u64::from(geometry.segments) * size_of::<Segment>() as u64
    }

    /// DRAM that these accounts take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(&*self.segments) as u64
    }

    /// All segments, by their numbers.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What is known of a segment.
    pub(crate) fn segment(&self, index: u32) -> Segment {
        self.segments[index as usize]
    }

    /// The numbers of the segments in a state, in order.
    pub(crate) fn those(&self, state: State) -> impl Iterator<Item = u32> {
        (0..).zip(&self.segments).filter(move |(_, segment)| segment.state == state).map(|(index, _)| index)
    }

    /// How many segments are free.
    pub(crate) fn free(&self) -> u32 {
        self.in_state[State::Free as usize]
    }

    /// How many segments are set aside because of damage.
    pub(crate) fn quarantined(&self) -> u32 {
        self.in_state[State::Quarantined as usize]
    }

    /// How many segments are neither.
    pub(crate) fn in_use(&self) -> u32 {
        self.geometry.segments - self.free() - self.quarantined()
    }

    /// How many segments hold a checkpoint, or what was begun of one.
    pub(crate) fn with_checkpoint(&self) -> u32 {
        self.in_state[State::Checkpoint as usize]
    }

    /// Bytes of live puts and chunks.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// Bytes of removals, needed still or not.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// The longest operation that cleaning may have to move, in bytes, with its frame header.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// The most bytes of live operations and removals that the pool takes, so that cleaning always gets on: some
    /// segment then has at least a twentieth of its bytes to win.
    pub(crate) fn capacity(&self) -> u64 {
        const SET_ASIDE: u32 = 5;
        let segments = u64::from((self.geometry.segments - self.quarantined()).saturating_sub(SET_ASIDE));
        let per_segment = u64::from(self.geometry.batch_limit() - HEADER).saturating_sub(self.largest.max(256));
        segments * per_segment / 20 * 19
    }

    /// The free segment that was used longest ago.
    pub(crate) fn oldest_free(&self) -> Option<u32> {
        self.those(State::Free).min_by_key(|index| self.segment(*index).generation)
    }

    /// Takes a free segment into use, with nothing in it.
    pub(crate) fn open(&mut self, index: u32, state: State, generation: u64) {
        debug_assert_eq!(self.segment(index).state, State::Free, "segment {index} is in use");
        self.set_state(index, state);
        self.empty(index);
        self.set_generation(index, generation);
    }

    /// Lets a part of a record count.
    pub(crate) fn join(&mut self, index: u32) {
        if self.segment(index).state == State::Part {
            self.set_state(index, State::Used);
        }
    }

    /// Frees a segment, with all that counts in it.
    pub(crate) fn release(&mut self, index: u32) {
        self.set_state(index, State::Free);
        self.empty(index);
    }

    /// Sets a segment aside for ever, because of damage in it.
    pub(crate) fn quarantine(&mut self, index: u32) {
        self.set_state(index, State::Quarantined);
    }

    /// Notes which use of any segment this one's header says that it is of.
    pub(crate) fn set_generation(&mut self, index: u32, generation: u64) {
        self.segments[index as usize].generation = generation;
    }

    /// Counts an operation as live at its place.
    pub(crate) fn count_live(&mut self, place: u64, cost: u64) {
        self.live += cost;
        self.segment_mut(place).live += cost;
    }

    /// Counts an operation as no longer live at its place.
    pub(crate) fn count_dead(&mut self, place: u64, cost: u64) {
        self.live = self.live.saturating_sub(cost);
        let segment = self.segment_mut(place);
        segment.live = segment.live.saturating_sub(cost);
    }

    /// Counts a removal that lies at `place`.
    pub(crate) fn count_removal(&mut self, place: u64, cost: u64) {
        self.removals += cost;
        self.segment_mut(place).removals += cost;
    }

    /// Notes that cleaning may have to move an operation of this length.
    pub(crate) fn note_length(&mut self, cost: u64) {
        self.largest = self.largest.max(cost);
    }

    /// Counts nothing as live, and no removal: the segments that say otherwise are about to be freed.
    pub(crate) fn void_all(&mut self) {
        (self.live, self.removals) = (0, 0);
    }

    /// Takes over what a scan of all records has counted, and sets aside what it has. What the segments are in use for
    /// is known better here.
    pub(crate) fn recount(&mut self, scanned: &Space) {
        (self.live, self.removals) = (scanned.live, scanned.removals);
        self.note_length(scanned.largest);
        for (index, found) in (0..).zip(&scanned.segments) {
            if found.state == State::Quarantined {
                self.quarantine(index);
            }
            let segment = &mut self.segments[index as usize];
            (segment.live, segment.removals) = (found.live, found.removals);
        }
    }

    /// The one place where a segment's state changes.
    fn set_state(&mut self, index: u32, state: State) {
        let former = core::mem::replace(&mut self.segments[index as usize].state, state);
        self.in_state[former as usize] -= 1;
        self.in_state[state as usize] += 1;
    }

    /// Counts nothing in a segment any more.
    fn empty(&mut self, index: u32) {
        let segment = &mut self.segments[index as usize];
        self.live = self.live.saturating_sub(segment.live);
        self.removals = self.removals.saturating_sub(segment.removals);
        (segment.live, segment.removals) = (0, 0);
    }

    fn segment_mut(&mut self, place: u64) -> &mut Segment {
        let segment = self.geometry.segment_at(place).unwrap_or(0);
        &mut self.segments[segment as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{STATES, Space};
    use crate::pool::segment::State;
    use crate::pool::superblock::Geometry;

    const SEGMENTS: u32 = 12;
    const ALL: [State; STATES] = [State::Free, State::Used, State::Checkpoint, State::Quarantined, State::Part];

    fn space() -> Space {
        let (first_segment, segment_size) = (64 << 10, 64 << 10);
        let len = first_segment + u64::from(SEGMENTS * segment_size) + 4096;
        Space::new(Geometry { len, first_segment, segment_size, segments: SEGMENTS }).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn free_used_and_quarantined_segments_are_all_segments(
            steps in proptest::collection::vec((0..SEGMENTS, 0..8u8, 1..100u64), 0..200),
        ) {
            let mut space = space();
            for (number, (index, step, bytes)) in (1..).zip(steps) {
                let is_free = space.segment(index).state == State::Free;
                let place = space.geometry.start_of(index) + 64;
                match step {
                    0..=2 if is_free => {
                        space.open(index, [State::Used, State::Part, State::Checkpoint][usize::from(step)], number);
                    }
                    0..=2 => space.release(index),
                    3 => space.join(index),
                    4 => space.quarantine(index),
                    5 => space.count_live(place, bytes),
                    6 => space.count_dead(place, bytes.min(space.segment(index).live)),
                    _ => space.count_removal(place, bytes),
                }
                for state in ALL {
                    prop_assert_eq!(space.in_state[state as usize] as usize, space.those(state).count());
                }
                prop_assert_eq!(space.free() + space.in_use() + space.quarantined(), SEGMENTS);
                let sums = space.segments().iter().map(|segment| (segment.live, segment.removals));
                let (live, removals) = sums.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
                prop_assert_eq!((space.live(), space.removals()), (live, removals));
                prop_assert!(space.capacity() <= u64::from(SEGMENTS * space.geometry.segment_size));
            }
        }
    }

    #[test]
    fn the_free_segment_that_was_used_longest_ago_comes_next() {
        let mut space = space();
        for generation in 1..=u64::from(SEGMENTS) {
            let next = space.oldest_free().unwrap();
            space.open(next, State::Used, generation);
        }
        assert_eq!((space.free(), space.oldest_free()), (0, None));
        [3, 9, 2].into_iter().for_each(|index| space.release(index));
        space.quarantine(2);
        assert_eq!((space.free(), space.quarantined(), space.oldest_free()), (2, 1, Some(3)));
    }

    #[test]
    fn a_recount_keeps_what_segments_are_in_use_for() {
        let (mut known, mut scanned) = (space(), space());
        known.open(1, State::Checkpoint, 5);
        scanned.open(2, State::Used, 4);
        scanned.count_live(scanned.geometry.start_of(2), 70);
        scanned.quarantine(2);
        known.recount(&scanned);
        assert_eq!((known.segment(1).state, known.segment(2).state), (State::Checkpoint, State::Quarantined));
        assert_eq!((known.live(), known.segment(2).live, known.in_use()), (70, 70, 1));
    }
}
