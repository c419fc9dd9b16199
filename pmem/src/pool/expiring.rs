//! How many keys have an expiry, and when on average: counted as operations enter and leave the index.

/// Keys with an expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// How many there are.
    pub keys: u64,
    /// The sum of their expiry times, in milliseconds of Unix time.
    pub sum_ms: u128,
}

impl Expiring {
    /// A key has got a value that expires then, if at all.
    pub(crate) fn add(&mut self, expires_at_ms: Option<u64>) {
        if let Some(at) = expires_at_ms {
            self.keys += 1;
            self.sum_ms = self.sum_ms.wrapping_add(at.into());
        }
    }

    /// A key's value, which expires then, if at all, has been replaced or removed.
    pub(crate) fn remove(&mut self, expires_at_ms: Option<u64>) {
        // A checkpoint may have lied about it.
        if let Some(at) = expires_at_ms.filter(|_| self.keys > 0) {
            self.keys -= 1;
            self.sum_ms = self.sum_ms.wrapping_sub(at.into());
        }
    }

    /// When they expire on average, in milliseconds of Unix time. `None` if there are none.
    pub(crate) fn mean_ms(&self) -> Option<u64> {
        let mean = self.sum_ms.checked_div(self.keys.into())?;
        Some(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// As three numbers of a checkpoint.
    pub(crate) fn words(&self) -> [u64; 3] {
        [self.keys, self.sum_ms as u64, (self.sum_ms >> 64) as u64]
    }

    /// What these three numbers say.
    pub(crate) fn from_words([keys, low, high]: [u64; 3]) -> Expiring {
        Expiring { keys, sum_ms: u128::from(high) << 64 | u128::from(low) }
    }
}
