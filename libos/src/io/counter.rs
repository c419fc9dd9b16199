//! The arithmetic of an eventfd.

/// A counter that writers add to and readers take from.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    value: u64,
    /// A read takes one instead of all.
    semaphore: bool,
}

/// The most that the counter holds.
const MAX: u64 = u64::MAX - 1;

impl Counter {
    /// A counter that begins at `value`.
    pub const fn new(value: u64, semaphore: bool) -> Self {
        Self { value: if value > MAX { MAX } else { value }, semaphore }
    }

    /// What a read gives; `None` if it has to wait.
    pub fn take(&mut self) -> Option<u64> {
        if self.value == 0 {
            return None;
        }
        let taken = if self.semaphore { 1 } else { self.value };
        self.value -= taken;
        Some(taken)
    }

    /// Adds what a write brings; `None` if it has to wait. `u64::MAX` never fits.
    pub fn add(&mut self, value: u64) -> Option<()> {
        self.value = self.value.checked_add(value).filter(|&sum| sum <= MAX)?;
        Some(())
    }

    /// Whether a read would give something.
    pub const fn is_readable(&self) -> bool {
        self.value > 0
    }

    /// Whether a write of one would fit.
    pub const fn is_writable(&self) -> bool {
        self.value < MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_takes_all_and_a_semaphore_gives_one_at_a_time() {
        let mut counter = Counter::new(0, false);
        assert_eq!(counter.take(), None);
        assert_eq!((counter.add(3), counter.add(4)), (Some(()), Some(())));
        assert_eq!((counter.take(), counter.is_readable()), (Some(7), false));
        let mut counter = Counter::new(2, true);
        assert_eq!((counter.take(), counter.take(), counter.take()), (Some(1), Some(1), None));
    }

    #[test]
    fn the_counter_does_not_overflow() {
        let mut counter = Counter::new(1, false);
        assert_eq!(counter.add(u64::MAX - 1), None);
        assert_eq!(counter.add(u64::MAX - 2), Some(()));
        assert!(!counter.is_writable());
        assert_eq!(counter.add(1), None);
        assert_eq!(counter.take(), Some(u64::MAX - 1));
        assert_eq!(Counter::new(0, false).add(u64::MAX), None);
    }
}
