//! When to look at clients that may have been idle for too long (`timeout`). Nothing here looks at all of them, except
//! when the timeout is set.

use std::collections::BTreeSet;

/// The looks that are due, the next one first.
#[derive(Default)]
pub struct Idle {
    /// Milliseconds after which an idle client is closed; 0: never.
    timeout: u64,
    looks: BTreeSet<(u64, usize)>,
}

impl Idle {
    /// Milliseconds after which an idle client is closed; 0: never.
    pub fn timeout(&self) -> u64 {
        self.timeout
    }

    /// Sets the timeout; all clients are to be watched anew. Says whether it is another one.
    pub fn set_timeout(&mut self, milliseconds: u64) -> bool {
        let changed = std::mem::replace(&mut self.timeout, milliseconds) != milliseconds;
        if changed {
            self.looks.clear();
        }
        changed
    }

    /// Watches the client at `index`, who was active at this time, in milliseconds. Returns when it is looked at.
    pub fn watch(&mut self, index: usize, active: u64) -> Option<u64> {
        (self.timeout > 0).then(|| {
            let look = active + self.timeout;
            self.looks.insert((look, index));
            look
        })
    }

    /// Watches the client no more that was to be looked at then.
    pub fn forget(&mut self, index: usize, look: u64) {
        self.looks.remove(&(look, index));
    }

    /// A client to be looked at now, which is watched no more.
    pub fn take_due(&mut self, now: u64) -> Option<usize> {
        let first = *self.looks.first()?;
        (first.0 <= now).then(|| {
            self.looks.remove(&first);
            first.1
        })
    }

    /// When the next client is to be looked at.
    pub fn next(&self) -> Option<u64> {
        self.looks.first().map(|(look, _)| *look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_looked_at_when_it_may_be_idle() {
        let mut idle = Idle::default();
        assert_eq!((idle.watch(0, 0), idle.next()), (None, None), "no timeout, nothing to do");
        assert!(idle.set_timeout(1000) && !idle.set_timeout(1000));
        let looks: Vec<_> = [500, 0, 700].into_iter().enumerate().map(|(index, at)| idle.watch(index, at)).collect();
        assert_eq!(looks, [Some(1500), Some(1000), Some(1700)]);
        idle.forget(0, 1500);
        assert_eq!((idle.take_due(999), idle.take_due(1600), idle.take_due(1600)), (None, Some(1), None));
        assert_eq!((idle.next(), idle.take_due(1700), idle.next()), (Some(1700), Some(2), None));
    }
}
