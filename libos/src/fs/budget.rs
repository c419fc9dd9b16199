//! How much RAM files may take.

use super::Error;

/// What files take of RAM, and the most that they may.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Accounts for so many bytes, before they are allocated.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        let used = self.used.checked_add(bytes).filter(|&used| used <= self.limit).ok_or(Error::NoSpace)?;
        self.used = used;
        Ok(())
    }

    /// Gives bytes back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used, "more is given back than was taken");
        self.used = self.used.saturating_sub(bytes);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}
