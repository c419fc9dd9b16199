//! The active expiry: removing expired keys that nobody asks for.
//!
//! When a step is due says [`crate::schedule`]. As in Redis, a step goes on while much of what it looks at has expired,
//! and all steps together take a quarter of the time at most. A write that finds the pool full does not wait for that:
//! dead keys go first.

use pmem::{Medium, Turn};

use crate::budget::{self, Budget};
use crate::clock::Monotonic;
use crate::log;
use crate::shared::{Shared, is_fatal};

/// Milliseconds between two steps of a pass that finds little.
const STEP_MS: u64 = 100;
/// Keys looked at before it is decided whether to look at more.
const SLICE: usize = 512;
/// Most bytes of keys that are noted at a time to be removed: those behind are met again.
const NOTED: usize = 1 << 20;
/// A step goes on while more than one in so many of the keys with an expiry has expired: Redis's default.
const ACCEPTABLE: usize = 10;
/// A step is not followed by another before so many times its own length are over: a quarter of the time is theirs.
const SHARE: u32 = 4;

/// Makes one step, if one is due: removes what has expired among the next keys. A pass that fails is given up until
/// another key with an expiry is stored.
pub fn step<M: Medium>(turn: &mut Turn<'_, M>, shared: &mut Shared, clock: Monotonic) {
    if shared.pool.expiring_keys == Some(0) {
        shared.expiry.trust_what_was_stored_since();
    }
    if shared.expiry.due().is_none_or(|due| due > shared.now_ms) {
        return;
    }
    let began = clock();
    match advance(turn, shared, &mut Budget::new(clock, turn.moved()).share(), false) {
        Ok(found_many) => {
            let wait = (clock().saturating_sub(began) * SHARE).as_millis() as u64;
            shared.expiry.rest_until(shared.now_ms + if found_many { wait } else { wait.max(STEP_MS) });
        }
        Err(error) => give_up(shared, error),
    }
}

/// Removes expired keys for a write that found the pool full, as far as the budget goes or to the end of a pass. Says
/// whether it could.
pub fn make_room<M: Medium>(turn: &mut Turn<'_, M>, shared: &mut Shared, budget: &mut Budget) -> bool {
    let made = advance(turn, shared, budget, true);
    made.map_err(|error| give_up(shared, error)).is_ok()
}

/// A pass has failed.
fn give_up(shared: &mut Shared, error: pmem::Error) {
    log::warn(format_args!("the search for expired keys failed: {error}"));
    shared.turn_failed |= is_fatal(&error);
    shared.expiry.give_up();
}

/// Goes on with the pass: while it finds much or nothing that could expire, or in any case if it is to be `thorough`.
/// Returns whether it found much at last.
fn advance<M: Medium>(
    turn: &mut Turn<'_, M>,
    shared: &mut Shared,
    budget: &mut Budget,
    thorough: bool,
) -> Result<bool, pmem::Error> {
    loop {
        let Slice { with_expiry, expired, left_some, is_last } = slice(turn, shared)?;
        budget.charge(SLICE as u64 * budget::KEY);
        budget.count_moved(turn.moved());
        let found_many = left_some || expired * ACCEPTABLE > with_expiry;
        let goes_on = found_many || with_expiry == 0 || thorough;
        if is_last || !goes_on || budget.is_spent() {
            return Ok(found_many);
        }
    }
}

/// What was among some keys.
struct Slice {
    /// Keys with an expiry.
    with_expiry: usize,
    /// Those of them that had expired, and are removed.
    expired: usize,
    /// There was no room to note all that had expired.
    left_some: bool,
    /// The pass has ended with them.
    is_last: bool,
}

/// Keys that have expired, as many as there is room for.
#[derive(Default)]
struct Dead {
    keys: Vec<Vec<u8>>,
    bytes: usize,
    /// Some were left out.
    left_some: bool,
}

impl Dead {
    fn note(&mut self, key: &[u8]) {
        let mut copy = Vec::new();
        let has_room = !self.left_some
            && self.bytes + key.len() <= NOTED
            && self.keys.try_reserve(1).and_then(|()| copy.try_reserve_exact(key.len())).is_ok();
        if has_room {
            copy.extend_from_slice(key);
            self.bytes += copy.len();
            self.keys.push(copy);
        }
        self.left_some |= !has_room;
    }
}

fn slice<M: Medium>(turn: &mut Turn<'_, M>, shared: &mut Shared) -> Result<Slice, pmem::Error> {
    let now = shared.now_ms;
    let schedule = &mut shared.expiry;
    let (mut with_expiry, mut alive, mut dead) = (0, 0, Dead::default());
    let next = turn.scan(schedule.cursor(), SLICE, |key, meta| {
        let Some(at) = meta.expires_at_ms else { return };
        with_expiry += 1;
        if at < now {
            dead.note(key);
        } else {
            alive += 1;
            schedule.leave(at);
        }
    })?;
    // What was left out is met again: the next step looks at the same keys, less those that go now.
    if !dead.left_some {
        schedule.advance(next, alive);
    }
    for key in &dead.keys {
        shared.counters.expired += u64::from(turn.remove(key)?);
    }
    Ok(Slice {
        with_expiry,
        expired: dead.keys.len(),
        left_some: dead.left_some,
        is_last: next == 0 && !dead.left_some,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Harness;

    #[test]
    fn long_expired_keys_are_noted_up_to_so_many_bytes_and_the_others_are_met_again() {
        const LENGTH: usize = 60_000;
        let mut client = Harness::of(64 << 20);
        for n in 0..100 {
            assert_eq!(client.send(&format!("set {n:0LENGTH$} v px 1")), "+OK|");
        }
        client.now_ms += 10;
        client.shared.begin(client.now_ms * 1000, client.pool.stats());
        let Harness { pool, shared, .. } = &mut client;
        let (expired, _) = pool
            .turn(|turn| {
                std::iter::from_fn(|| {
                    let slice = slice(turn, shared).unwrap();
                    (slice.expired > 0).then_some(slice.expired)
                })
                .collect::<Vec<_>>()
            })
            .unwrap();
        assert!(expired.iter().all(|count| count * LENGTH <= NOTED), "{expired:?}");
        assert_eq!(expired.iter().sum::<usize>(), 100);
    }
}
