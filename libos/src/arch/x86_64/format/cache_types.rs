//! The page attribute table: what the caching bits of a page table's leaf stand for.

use core::fmt;

/// What it is after a reset (SDM volume 3A, table 12-12).
const RESET: u64 = 0x0007_0406_0007_0406;

/// The table of a CPU (IA32_PAT): one byte for each of its eight places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheTypes(u64);

impl CacheTypes {
    /// The table with this value.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether it is as after a reset, so that leaves are cached as they say.
    pub const fn are_as_expected(self) -> bool {
        self.0 == RESET
    }
}

impl fmt::Display for CacheTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the page attribute table is {:#x}", self.0)?;
        if self.are_as_expected() { Ok(()) } else { write!(f, ", not {RESET:#x}") }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn any_other_table_is_told_from_that_of_a_reset() {
        assert!(CacheTypes::from_bits(RESET).are_as_expected());
        let other = CacheTypes::from_bits(RESET ^ 6);
        assert!(!other.are_as_expected());
        assert_eq!(other.to_string(), "the page attribute table is 0x7040600070400, not 0x7040600070406");
    }
}
