//! The two devices' images that a cell is tried on.

use xtask::size::{GIB, MIB};

use crate::pattern::Pattern;

/// How long an ordinary image is.
pub const LENGTH: u64 = 16 * MIB;

/// Images of `pmem0` and `pmem1`, used again as long as nothing has changed them.
#[derive(Debug, Default)]
pub(super) struct Images {
    ordinary: Option<[Pattern; 2]>,
    huge: Option<[Pattern; 2]>,
}

impl Images {
    /// Images that hold their patterns; `pmem0` has 1 GiB if `is_huge`.
    pub(super) fn take(&mut self, is_huge: bool) -> [Pattern; 2] {
        let kept = if is_huge { self.huge.take() } else { self.ordinary.take() };
        kept.unwrap_or_else(|| {
            // A pattern everywhere would take time and room for nothing: what follows it is known to be zero.
            let first = if is_huge { Pattern::new(GIB, 4 * MIB, 0) } else { Pattern::new(LENGTH, LENGTH, 0) };
            [first, Pattern::new(LENGTH, LENGTH, 1)]
        })
    }

    /// Gives images back that were not changed.
    pub(super) fn put_back(&mut self, is_huge: bool, images: [Pattern; 2]) {
        *(if is_huge { &mut self.huge } else { &mut self.ordinary }) = Some(images);
    }
}
