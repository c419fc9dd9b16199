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
