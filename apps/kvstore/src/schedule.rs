//! When expired keys are searched for, and how far the search has come.
//!
//! The pool keeps no order by expiry. So the whole key space is walked, some keys per step, but only when something is
//! known to be due: every pass notes the earliest expiry that it leaves behind, and every write lowers that.

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

    /// The pool had no key with an expiry when the turn began: no pass is needed to know it.
    pub fn trust_what_was_stored_since(&mut self) {
        if self.cursor == 0 && self.earliest == Some(0) {
            self.earliest = self.seen;
        }
    }

    /// When there will be something to do, in Unix milliseconds.
    pub fn due(&self) -> Option<u64> {
        match self.cursor {
            // A key is alive in its last millisecond.
            0 => self.earliest.map(|earliest| earliest.saturating_add(1).max(self.next_step)),
            _ => Some(self.next_step),
        }
    }

    /// Whether there may be keys that have expired by now.
    pub fn may_find(&self, now_ms: u64) -> bool {
        self.cursor != 0 || self.earliest.is_some_and(|earliest| earliest < now_ms)
    }

    /// Where the pass stands among the pool's keys; 0 between passes.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The pass leaves a key behind that expires at this time, in Unix milliseconds.
    pub fn leave(&mut self, expires_at_ms: u64) {
        self.seen = earlier(self.seen, Some(expires_at_ms));
    }

    /// The pass goes on at `cursor`, having left so many keys with an expiry; at 0 it has ended.
    pub fn advance(&mut self, cursor: u64, left: u64) {
        self.cursor = cursor;
        self.counted += left;
        if cursor == 0 {
            self.earliest = self.seen.take();
            self.with_expiry = std::mem::take(&mut self.counted);
        }
    }

    /// The next step is made at this time, in Unix milliseconds, and not before.
    pub fn rest_until(&mut self, next_step: u64) {
        self.next_step = next_step;
    }

    /// The pass has failed: there is none until another key with an expiry is stored.
    pub fn give_up(&mut self) {
        *self = Self { earliest: None, with_expiry: self.with_expiry, ..Self::default() };
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}
