//! How far the cleaning of a segment is. What cleaning does is in `clean`.

use crate::pool::shadow_counts::Counts;
use crate::pool::walk::Walk;

/// A segment being cleaned.
#[derive(Debug)]
pub(crate) struct Cleaning {
    pub segment: u32,
    pub walk: Walk,
    /// How many superseded puts were met, by their counter: gone when the segment is freed.
    pub dropped: Counts,
}

/// Which segment is being cleaned, if any is.
#[derive(Debug, Default)]
pub(crate) struct Cleaner(Option<Cleaning>);

impl Cleaner {
    /// Whether a segment is half cleaned.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Takes what was begun out, to go on with it.
    pub(crate) fn take(&mut self) -> Option<Cleaning> {
        self.0.take()
    }

    /// Keeps what was begun, to go on with it later.
    pub(crate) fn keep(&mut self, cleaning: Cleaning) {
        debug_assert!(self.0.is_none(), "two segments would be cleaned at once");
        self.0 = Some(cleaning);
    }

    /// Gives up what was begun: what was moved counts where it is now.
    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }

    /// The same, if it is this segment's. Says whether it is.
    pub(crate) fn stop_in(&mut self, segment: u32) -> bool {
        self.0.take_if(|cleaning| cleaning.segment == segment).is_some()
    }
}
