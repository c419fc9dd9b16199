//! What an opening from a checkpoint has left to be read: blocks of the checkpoint, and records to verify.

use super::{Held, Unverified};

/// See the module's documentation. Only what reads and verifies changes it.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// The checkpoint that the pool was opened from, as long as it holds segments.
    pub(super) held: Option<Held>,
    /// Segments whose records an opening from a checkpoint has not verified yet.
    pub(super) unverified: Option<Unverified>,
}

impl Unread {
    /// Whether there is anything left.
    pub(crate) fn is_any(&self) -> bool {
        self.has_checkpoint() || self.unverified.is_some()
    }

    /// Whether a checkpoint holds segments still.
    pub(crate) fn has_checkpoint(&self) -> bool {
        self.held.is_some()
    }
}
