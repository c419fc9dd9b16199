//! The active expiry: removing expired keys that nobody asks for.
//!
//! The pool keeps no order by expiry. So the whole key space is walked, some keys per step, but only when something is
//! known to be due: every pass notes the earliest expiry that it leaves behind, and every write lowers that.

use pmem::{Medium, Turn};

use crate::commands::Failure;
use crate::log;
use crate::state::State;

/// Milliseconds between two steps of a pass.
const STEP_MS: u64 = 100;
/// Keys looked at in a step.
const STEP_KEYS: usize = 512;

/// When there is something to do, and how far it has come.
#[derive(Debug)]
pub struct Schedule {
    /// Where the pass stands; 0 between passes.
    cursor: u64,
    /// The earliest expiry that is known, in Unix milliseconds.
    earliest: Option<u64>,
    /// The same, of what the current pass has left behind so far.
    seen: Option<u64>,
    /// Keys with an expiry that the current pass has met.
    counted: u64,
    /// Keys with an expiry that the last pass met.
    pub with_expiry: u64,
    /// When the next step may be made, in Unix milliseconds.
    next_step: u64,
}

impl Default for Schedule {
    /// Nothing is known of the pool yet: a pass is due.
    fn default() -> Self {
        Self { cursor: 0, earliest: Some(0), seen: None, counted: 0, with_expiry: 0, next_step: 0 }
    }
}

impl Schedule {
    /// A key has been stored that expires at this time, in Unix milliseconds, if at all.
    pub fn expect(&mut self, expires_at_ms: Option<u64>) {
        self.earliest = earlier(self.earliest, expires_at_ms);
        self.seen = earlier(self.seen, expires_at_ms);
    }

    /// When there will be something to do, in Unix milliseconds.
    pub fn due(&self) -> Option<u64> {
        match self.cursor {
            // A key is alive in its last millisecond.
            0 => self.earliest.map(|earliest| earliest.saturating_add(1).max(self.next_step)),
            _ => Some(self.next_step),
        }
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// Makes one step, if one is due: removes what has expired among the next keys. A pass that fails is given up until
/// another key with an expiry is stored.
pub fn step<M: Medium>(turn: &mut Turn<'_, M>, state: &mut State) {
    if state.expiry.due().is_some_and(|due| due <= state.now_ms)
        && let Err(error) = advance(turn, state)
    {
        log::warn(format_args!("the search for expired keys failed: {error}"));
        state.turn_failed |= Failure::from(error).is_fatal();
        state.expiry = Schedule { earliest: None, with_expiry: state.expiry.with_expiry, ..Schedule::default() };
    }
}

fn advance<M: Medium>(turn: &mut Turn<'_, M>, state: &mut State) -> Result<(), pmem::Error> {
    let now = state.now_ms;
    let schedule = &mut state.expiry;
    schedule.next_step = now + STEP_MS;
    let mut expired = Vec::new();
    schedule.cursor = turn.scan(schedule.cursor, STEP_KEYS, |key, meta| {
        let Some(at) = meta.expires_at_ms else { return };
        if at < now {
            expired.push(key.to_vec());
        } else {
            schedule.counted += 1;
            schedule.seen = earlier(schedule.seen, Some(at));
        }
    })?;
    if schedule.cursor == 0 {
        schedule.earliest = schedule.seen.take();
        schedule.with_expiry = std::mem::take(&mut schedule.counted);
    }
    for key in expired {
        state.counters.expired += u64::from(turn.remove(&key)?);
    }
    Ok(())
}
