//! Scrubbing in the background: when the next step is due, and how much it verifies.
//!
//! The rate bounds what it costs while nothing else happens, the length of a step what a client may have to wait for.
//! Between passes it rests, so that a machine with nothing to do sleeps.

use std::time::{Duration, Instant};

/// Bytes per second, unless somebody chooses.
const RATE: u64 = 512 << 10;
/// The most that a step verifies, in bytes.
const STEP: u64 = 128 << 10;
/// Steps per second at least, where the rate is lower.
const STEPS: u64 = 4;
/// How long after a pass began the next one begins, if it is not asked for.
const PASS: Duration = Duration::from_secs(3600);

/// See the module's documentation.
#[derive(Debug)]
pub struct Scrub {
    rate: u64,
    /// When the next step is due.
    next: Instant,
    /// When the pass that is under way began.
    began: Option<Instant>,
    /// How far it has come.
    pub progress: pmem::pool::Scrub,
    /// When the last pass ended, in Unix milliseconds; 0 if none did.
    pub last_pass_ms: u64,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { rate: RATE, next: Instant::now(), began: None, progress: pmem::pool::Scrub::default(), last_pass_ms: 0 }
    }
}

impl Scrub {
    /// Bytes per second; 0 means never.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Changes the rate. Whoever does is answered by a pass, if none is under way.
    pub fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
        self.next = Instant::now();
    }

    /// How long until the next step is due; `None` if none ever is.
    pub fn due_in(&self) -> Option<Duration> {
        (self.rate > 0).then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// What the next step verifies, in bytes.
    pub fn step(&self) -> u64 {
        (self.rate / STEPS).clamp(1, STEP)
    }

    /// A step was made, which took the pool to `progress` and perhaps ended a pass.
    pub fn made(&mut self, progress: pmem::pool::Scrub, ended: bool, now_ms: u64) {
        let verified = progress.bytes.saturating_sub(self.progress.bytes).max(1);
        self.progress = progress;
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        self.next = if ended {
            self.began = None;
            self.last_pass_ms = now_ms;
            began + PASS
        } else {
            now + Duration::from_secs_f64(verified as f64 / self.rate.max(1) as f64)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_to_the_rate_and_passes_rest() {
        let mut scrub = Scrub::default();
        assert_eq!((scrub.due_in(), scrub.step()), (Some(Duration::ZERO), STEP));
        let made = |scrub: &mut Scrub, bytes, ended| {
            scrub.made(pmem::pool::Scrub { bytes, ..scrub.progress }, ended, 7);
            scrub.due_in().unwrap()
        };
        let wait = made(&mut scrub, RATE, false);
        assert!(wait > Duration::from_millis(500) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(made(&mut scrub, RATE, true) > PASS / 2);
        assert_eq!(scrub.last_pass_ms, 7);
        scrub.set_rate(1000);
        assert_eq!((scrub.due_in(), scrub.step()), (Some(Duration::ZERO), 250));
        scrub.set_rate(0);
        assert_eq!(scrub.due_in(), None);
    }
}
