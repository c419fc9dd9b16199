//! What a turn may still do, so that no client waits long for the others.
//!
//! Requests alone say little: one may move a byte, another sixteen mebibytes twice. So a turn is bounded by its
//! requests, by the bytes that they move, and by the time that they take, whichever ends first. One request that moves
//! more than a turn may is done all the same, for it cannot be cut: then the turn ends with it.

use std::time::Duration;

use crate::clock::{Monotonic, Nanos};

/// Most requests executed in one turn.
const REQUESTS: usize = 2048;
/// Most of them for one client: the others want their replies, too.
const CLIENT_REQUESTS: usize = 256;
/// Most work done in one turn, in bytes.
const WORK: i64 = 4 << 20;
/// Most of it for one client.
const CLIENT_WORK: i64 = 1 << 20;
/// The longest that a turn takes if its requests can be cut.
const TIME: Duration = Duration::from_millis(25);
/// Requests and steps between two looks at the clock: a usual pipeline is one turn, however slow the machine is.
const LOOK: u32 = 32;

/// What one key costs whatever its length, in bytes that could be moved meanwhile.
pub const KEY: u64 = 256;

/// What a turn, or one client in it, may still do.
#[derive(Debug)]
pub struct Budget {
    requests: usize,
    /// In bytes. Below 0 when more was done than was to be.
    work: i64,
    /// What the pool had moved when work was last counted, in bytes.
    moved: u64,
    clock: Monotonic,
    /// When the last request ended, or the turn began, by `clock`.
    ended: Nanos,
    /// When the time is over, by `clock`.
    until: Duration,
    /// Looks at the budget until the clock is looked at.
    looks: u32,
    late: bool,
}

impl Budget {
    /// The budget of a turn that begins now, with a pool that has moved so many bytes.
    pub fn new(clock: Monotonic, moved: u64) -> Self {
        let began = clock();
        let until = began + TIME;
        Self { requests: REQUESTS, work: WORK, moved, clock, ended: nanos(began), until, looks: LOOK, late: false }
    }

    /// One client's part of what is left, which goes back by [`Self::put_back`].
    pub fn share(&mut self) -> Self {
        let share = Self {
            requests: self.requests.min(CLIENT_REQUESTS),
            work: self.work.min(CLIENT_WORK),
            looks: LOOK,
            ..*self
        };
        self.requests -= share.requests;
        self.work -= share.work;
        share
    }

    /// Takes back what is left of a share, and what it lacks.
    pub fn put_back(&mut self, share: Self) {
        self.requests += share.requests;
        self.work += share.work;
        self.moved = share.moved;
        self.ended = share.ended;
        self.late |= share.late;
    }

    /// Counts a request.
    pub fn take_request(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// Counts work that moves no bytes of the pool, in bytes that could have been moved meanwhile.
    pub fn charge(&mut self, work: u64) {
        self.work = self.work.saturating_sub_unsigned(work);
    }

    /// Counts what the pool has moved by now, in bytes.
    pub fn count_moved(&mut self, moved: u64) {
        self.charge(moved.saturating_sub(self.moved));
        self.moved = moved;
    }

    /// A request ends, or a piece of one: how long it is since the one before it ended.
    pub fn lap(&mut self) -> Nanos {
        let now = nanos((self.clock)());
        now.saturating_sub(std::mem::replace(&mut self.ended, now))
    }

    /// Whether nothing is left of it.
    pub fn is_spent(&mut self) -> bool {
        self.looks -= 1;
        if self.looks == 0 {
            self.looks = LOOK;
            self.late |= (self.clock)() >= self.until;
        }
        self.late || self.requests == 0 || self.work <= 0
    }

    /// Whether there was too much to do rather than too many requests.
    pub fn is_overworked(&self) -> bool {
        self.late || self.work <= 0
    }
}

fn nanos(time: Duration) -> Nanos {
    time.as_nanos() as Nanos
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn budget() -> Budget {
        Budget::new(|| NOW.get(), 1000)
    }

    #[test]
    fn a_turn_is_bounded_by_requests_by_bytes_and_by_time() {
        let mut requests = budget();
        (0..REQUESTS - 1).for_each(|_| requests.take_request());
        assert!(!requests.is_spent());
        requests.take_request();
        assert!(requests.is_spent() && !requests.is_overworked());

        let mut bytes = budget();
        bytes.charge(WORK as u64 / 2);
        assert!(!bytes.is_spent());
        bytes.count_moved(1000 + WORK as u64 / 2);
        assert!(bytes.is_spent() && bytes.is_overworked());

        let mut time = budget();
        NOW.set(TIME);
        assert_eq!((0..LOOK).take_while(|_| !time.is_spent()).count(), LOOK as usize - 1);
        assert!(time.is_overworked());
    }

    #[test]
    fn requests_follow_each_other_in_time_whose_ever_they_are() {
        let at = |millis| NOW.set(Duration::from_millis(millis));
        at(1);
        let mut turn = budget();
        at(3);
        let mut share = turn.share();
        assert_eq!(share.lap(), 2_000_000);
        at(7);
        assert_eq!(share.lap(), 4_000_000);
        turn.put_back(share);
        at(8);
        assert_eq!(turn.share().lap(), 1_000_000);
    }

    #[test]
    fn what_a_client_leaves_is_the_others() {
        let mut turn = budget();
        let mut share = turn.share();
        share.take_request();
        share.charge(100);
        turn.put_back(share);
        assert_eq!((turn.requests, turn.work), (REQUESTS - 1, WORK - 100));
        let mut share = turn.share();
        share.charge(16 << 20);
        assert!(share.is_spent());
        turn.put_back(share);
        assert!(turn.is_spent(), "one that did more than a turn may ends the turn");
    }
}
