//! How long the program's end waits for peers.

use core::time::Duration;

use crate::instant::Instant;

/// For this long nothing need arrive: a peer that is gone must not keep the machine from its end.
const IDLE: Duration = Duration::from_secs(3);
/// For this long in all, however slowly peers take what was sent.
const TOTAL: Duration = Duration::from_secs(30);

/// How long peers that have not taken all that was sent to them are waited for: as long as they take some of it, up to
/// a limit.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimeout {
    left: usize,
    until: Instant,
    end: Instant,
}

impl DrainTimeout {
    /// At the beginning.
    pub fn new(now: Instant) -> Self {
        Self { left: usize::MAX, until: now.saturating_add(IDLE), end: now.saturating_add(TOTAL) }
    }

    /// Whether to go on waiting, now that so much is left to arrive.
    pub fn lasts(&mut self, left: usize, now: Instant) -> bool {
        if left < self.left {
            self.left = left;
            self.until = now.saturating_add(IDLE).min(self.end);
        }
        left > 0 && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(span: Duration) -> Instant {
        Instant::BOOT + span
    }

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_nanos(1);

    #[test]
    fn nothing_left_ends_the_wait() {
        assert!(!DrainTimeout::new(after(SECOND)).lasts(0, after(SECOND)));
    }

    #[test]
    fn a_dead_peer_is_waited_for_for_a_moment() {
        let mut timeout = DrainTimeout::new(after(SECOND));
        assert!(timeout.lasts(100, after(SECOND)) && timeout.lasts(100, after(SECOND + IDLE - MOMENT)));
        assert!(!timeout.lasts(100, after(SECOND + IDLE)));
    }

    #[test]
    fn a_slow_peer_is_waited_for_while_it_takes_something_but_not_for_ever() {
        let mut timeout = DrainTimeout::new(Instant::BOOT);
        let mut left = 1_000_000;
        for seconds in (0..TOTAL.as_secs()).step_by(2) {
            left -= 1;
            assert!(timeout.lasts(left, after(SECOND * seconds as u32)), "after {seconds} s");
        }
        assert!(!timeout.lasts(left - 1, after(TOTAL)));
        // What comes to be more is no progress.
        let mut timeout = DrainTimeout::new(Instant::BOOT);
        assert!(
            timeout.lasts(10, Instant::BOOT)
                && timeout.lasts(20, after(IDLE - MOMENT))
                && !timeout.lasts(19, after(IDLE))
        );
    }
}
