//! What is refused, each with what was asked for.

use core::fmt;
use core::ops::Range;

use crate::PAGE;

/// An access outside the medium. Nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The byte range asked for, from the start of the medium.
    pub range: Range<u64>,
    /// The medium's length in bytes.
    pub len: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access to bytes {:#x}..{:#x} of a medium of {:#x} bytes", self.range.start, self.range.end, self.len)
    }
}

impl core::error::Error for OutOfRange {}

impl OutOfRange {
    /// Checks that `bytes` bytes at `offset` lie within a medium of `len` bytes.
    pub fn check(offset: u64, bytes: u64, len: u64) -> Result<(), OutOfRange> {
        match offset.checked_add(bytes) {
            Some(end) if end <= len => Ok(()),
            _ => Err(OutOfRange { range: offset..offset.saturating_add(bytes), len }),
        }
    }
}

/// Why bytes were not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// They do not all lie within the medium.
    OutOfRange(OutOfRange),
    /// The medium cannot read these bytes any more. What was loaded of the others is not to be used.
    Unreadable(Range<u64>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::OutOfRange(out_of_range) => out_of_range.fmt(f),
            LoadError::Unreadable(bad) => {
                write!(f, "bytes {:#x}..{:#x} of the medium are unreadable", bad.start, bad.end)
            }
        }
    }
}

impl core::error::Error for LoadError {}

impl From<OutOfRange> for LoadError {
    fn from(out_of_range: OutOfRange) -> Self {
        LoadError::OutOfRange(out_of_range)
    }
}

/// The medium is gone: its device was removed or shut down. No data was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the persistent-memory device is gone")
    }
}

impl core::error::Error for Gone {}

/// Why a write scope was not entered. No data was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The medium is gone.
    Gone,
    /// The medium keeps no stores.
    ReadOnly,
    /// A fence could not make durable what was stored, so that nothing after it could be promised either.
    FenceFailed,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Gone => Gone.fmt(f),
            WriteError::ReadOnly => f.write_str("the persistent-memory device is read-only: it would not keep stores"),
            WriteError::FenceFailed => f.write_str(
                "what was stored to the persistent-memory device could not be made durable, so it takes no more; \
                 see to its disk, and open it anew",
            ),
        }
    }
}

impl core::error::Error for WriteError {}

impl From<Gone> for WriteError {
    fn from(_: Gone) -> Self {
        WriteError::Gone
    }
}

/// Why stores to a part of a medium were neither permitted nor forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteProtectError {
    /// It does not lie within the medium.
    OutOfRange(OutOfRange),
    /// An end of it is no multiple of [`PAGE`].
    Misaligned(Range<u64>),
    /// The medium has larger pages, so that these cannot be writable, or not, by themselves.
    LargePages(Range<u64>),
    /// The medium is gone.
    Gone,
    /// The medium keeps no stores, so none of it can be writable.
    ReadOnly,
    /// There is no memory for the tables that smaller pages need.
    OutOfMemory,
}

impl fmt::Display for WriteProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(out_of_range) => out_of_range.fmt(f),
            Self::Misaligned(range) => write!(
                f,
                "bytes {:#x}..{:#x} are no whole pages: their ends have to be multiples of {PAGE}",
                range.start, range.end
            ),
            Self::LargePages(range) => write!(
                f,
                "the medium has larger pages than bytes {:#x}..{:#x}, which cannot be writable, or not, by themselves",
                range.start, range.end
            ),
            Self::Gone => Gone.fmt(f),
            Self::ReadOnly => f.write_str("the medium keeps no stores, so none of it can be writable"),
            Self::OutOfMemory => f.write_str("no memory is left for page tables; give the machine more"),
        }
    }
}

impl core::error::Error for WriteProtectError {}

impl WriteProtectError {
    /// Checks that `range` is whole pages of a medium of `len` bytes.
    pub fn check(range: &Range<u64>, len: u64) -> Result<(), WriteProtectError> {
        if range.start > range.end || range.end > len {
            return Err(Self::OutOfRange(OutOfRange { range: range.clone(), len }));
        }
        if !(range.start | range.end).is_multiple_of(PAGE) {
            return Err(Self::Misaligned(range.clone()));
        }
        Ok(())
    }
}
