//! Running totals for the statistics, since the pool was opened. They only grow.

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    turns: u64,
    commits: u64,
    operations: u64,
    segments_cleaned: u64,
    bytes_moved: u64,
}

impl Totals {
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations
    }

    pub(crate) fn segments_cleaned(&self) -> u64 {
        self.segments_cleaned
    }

    pub(crate) fn bytes_moved(&self) -> u64 {
        self.bytes_moved
    }

    pub(crate) fn count_turn(&mut self) {
        self.turns += 1;
    }

    pub(crate) fn count_commit(&mut self) {
        self.commits += 1;
    }

    pub(crate) fn count_operation(&mut self) {
        self.operations += 1;
    }

    pub(crate) fn count_cleaned(&mut self) {
        self.segments_cleaned += 1;
    }

    pub(crate) fn count_moved(&mut self, bytes: u64) {
        self.bytes_moved += bytes;
    }
}
