//! The chain of batches: each names, by a hash, all that went before it.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// What the next batch has to say of those before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    key: SipHasher13,
    /// The hash of the newest batch's link and of its frames' checksums so far; none where no batch is known.
    newest: Option<SipHasher13>,
}

impl Chain {
    /// One that begins with the next batch.
    pub(crate) fn new(uuid: &[u8; 16]) -> Chain {
        Chain { key: SipHasher13::new_with_key(uuid), newest: None }
    }

    /// The link of a batch of this number that comes next; 0 if it begins the chain. The number is hashed so that two
    /// batches at one place, of which one was never acknowledged, have no word in common.
    pub(crate) fn link(&self, batch: u64) -> u64 {
        self.newest.map_or(0, |mut newest| {
            newest.write(&batch.to_le_bytes());
            newest.finish()
        })
    }

    /// Whether a batch is known.
    pub(crate) fn has_begun(&self) -> bool {
        self.newest.is_some()
    }

    /// Goes on with a batch that has this link.
    pub(crate) fn begin(&mut self, link: u64) {
        let mut newest = self.key;
        newest.write(&link.to_le_bytes());
        self.newest = Some(newest);
    }

    /// Adds a frame of the batch.
    pub(crate) fn add(&mut self, checksum: u32) {
        if let Some(newest) = &mut self.newest {
            // The same as its bytes, in half as many steps.
            newest.write_u32(checksum.to_le());
        }
    }
}
