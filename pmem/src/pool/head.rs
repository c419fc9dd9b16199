//! Where the log goes on: the place of the next batch, and that of frames which are staged and not yet written.

/// Where the next batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub segment: u32,
    /// In bytes from the segment's start; a multiple of a cache line.
    pub at: u32,
}

/// Where the staged frames will go: the same reckoning that committing does, kept up frame by frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Free segments that will be taken.
    pub segments: u32,
    /// Where the next frame will go, in bytes from its segment's start.
    pub at: u32,
}
