//! How long the program's end waits for peers.

/// For this long nothing need arrive, in nanoseconds: a peer that is gone must not keep the machine from its end.
const IDLE: u64 = 3_000_000_000;
/// For this long in all, in nanoseconds, however slowly peers take what was sent.
const TOTAL: u64 = 30_000_000_000;

/// How long peers that have not taken all that was sent to them are waited for: as long as they take some of it, up to
/// a limit.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimeout {
    left: usize,
    until: u64,
    end: u64,
}

impl DrainTimeout {
    /// At the beginning, at `now` in nanoseconds.
    pub fn new(now: u64) -> Self {
        Self { left: usize::MAX, until: now.saturating_add(IDLE), end: now.saturating_add(TOTAL) }
    }

    /// Whether to go on waiting, now that so much is left to arrive.
    pub fn lasts(&mut self, left: usize, now: u64) -> bool {
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

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn nothing_left_ends_the_wait() {
        assert!(!DrainTimeout::new(5).lasts(0, 5));
    }

    #[test]
    fn a_dead_peer_is_waited_for_for_a_moment() {
        let mut timeout = DrainTimeout::new(SECOND);
        assert!(timeout.lasts(100, SECOND) && timeout.lasts(100, SECOND + IDLE - 1));
        assert!(!timeout.lasts(100, SECOND + IDLE));
    }

    #[test]
    fn a_slow_peer_is_waited_for_while_it_takes_something_but_not_for_ever() {
        let mut timeout = DrainTimeout::new(0);
        let mut left = 1_000_000;
        for now in (0..TOTAL).step_by(2 * SECOND as usize) {
            left -= 1;
            assert!(timeout.lasts(left, now), "after {now} ns");
        }
        assert!(!timeout.lasts(left - 1, TOTAL));
        // What comes to be more is no progress.
        let mut timeout = DrainTimeout::new(0);
        assert!(timeout.lasts(10, 0) && timeout.lasts(20, IDLE - 1) && !timeout.lasts(19, IDLE));
    }
}
