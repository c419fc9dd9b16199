//! What can go wrong with a pool, each with its place and what to do about it.

use core::fmt;

use crate::medium::{Gone, LoadError, OutOfRange, WriteError};
use crate::pool::FORMAT_VERSION;

/// Why an operation on a pool failed. Nothing was changed unless the variant says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The medium is all zero where a pool has its superblocks: there is no pool yet.
    Blank,
    /// A power cut ended a format before it was done. The medium held nothing else of ours.
    FormatInterrupted,
    /// The medium holds something, but no pool.
    Foreign {
        /// The first eight bytes found.
        found: [u8; 8],
    },
    /// The pool was made by a newer version of the format.
    NewerVersion {
        /// The version found.
        found: u32,
    },
    /// The pool has an older version of the format, in which there is no way to write what was asked for.
    OldVersion {
        /// The version found.
        found: u32,
    },
    /// The pool uses features that this version does not know, so it cannot be read.
    UnknownFeatures {
        /// The feature bits that are not known.
        bits: u64,
    },
    /// The pool uses features that this version does not know. It can be read, and not be written to.
    UnknownFeaturesToWrite {
        /// The feature bits that are not known.
        bits: u64,
    },
    /// The medium is shorter than the pool in it.
    Truncated {
        /// The pool's length in bytes.
        recorded: u64,
        /// The medium's length in bytes.
        actual: u64,
    },
    /// The pool cannot become as long as the medium.
    CannotGrow(&'static str),
    /// No superblock is readable, but there was one.
    SuperblockDamaged,
    /// Both superblocks are zeros, but segments of a pool are there.
    Zeroed,
    /// The two superblocks are of different pools.
    TwoPools,
    /// Both superblocks are of another pool than all of the segments.
    OtherSegments,
    /// The medium is too small for a pool.
    TooSmall {
        /// The medium's length in bytes.
        actual: u64,
        /// The least that a pool needs, in bytes.
        least: u64,
    },
    /// The format options cannot be met.
    BadOption(&'static str),
    /// Data that was there is not readable any more. Other keys are not affected.
    Damaged {
        /// Where, in bytes from the medium's start.
        offset: u64,
    },
    /// A key, a value or an atomic record is longer than the pool takes.
    TooLarge {
        /// Which of them.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The most that the pool takes, in bytes.
        limit: u64,
    },
    /// There is no room. Removing and clearing still work, and make room.
    Full,
    /// There is no DRAM for the index to take in a new key, or it may take no more
    /// ([`Pool::limit_memory`](crate::Pool::limit_memory)). Reading, removing and writing keys that are there still
    /// work; a large value takes entries of its own, so writing one may not.
    IndexFull,
    /// There is not enough DRAM.
    NoMemory {
        /// How much the pool takes while it is open, in bytes, about; 0 where that is not known.
        needed: u64,
    },
    /// The device is gone. Staged writes of the turn were not committed.
    Gone,
    /// The medium keeps no stores: it was opened for reading only, or its platform said so.
    ReadOnly,
    /// A fence could not make durable what was stored: the medium takes no more until it is opened anew.
    FenceFailed,
    /// The pool computed a place outside its medium: a defect in this crate, reported rather than acted on.
    OutOfRange(OutOfRange),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Blank => f.write_str("the medium is blank: there is no pool yet; format it first"),
            Error::FormatInterrupted => {
                f.write_str("a format of this medium was interrupted; it holds no data; format it again")
            }
            Error::Foreign { found } => {
                write!(f, "the medium holds no pool (it begins with {}); it was left as it is", found.escape_ascii())
            }
            Error::NewerVersion { found } => write!(
                f,
                "the pool has format version {found}, this program knows up to {FORMAT_VERSION}; use a newer program"
            ),
            Error::UnknownFeatures { bits } => {
                write!(
                    f,
                    "the pool uses features that this program does not know (bits {bits:#x}); use a newer program"
                )
            }
            Error::OldVersion { found } => write!(
                f,
                "the pool has format version {found}, in which this cannot be written; \
                 `cargo xtask pool migrate` makes it version {FORMAT_VERSION}"
            ),
            Error::UnknownFeaturesToWrite { bits } => write!(
                f,
                "the pool uses features that this program does not know and must not write to (bits {bits:#x}); \
                 use a newer program, or look into it with `cargo xtask pool info` and `dump`"
            ),
            Error::Truncated { recorded, actual } => write!(
                f,
                "the pool is {recorded} bytes long, but the medium only {actual}: it was truncated; \
                 restore the missing end before opening it"
            ),
            Error::CannotGrow(why) => write!(f, "cannot grow to the medium's length: {why}"),
            Error::SuperblockDamaged => {
                f.write_str("both superblocks of the pool are damaged; restore one from a copy of the image")
            }
            Error::Zeroed => f.write_str(
                "both superblocks of the pool are zeros, but records of it are there: parts of the image were zeroed; \
                 restore its first and last 4096 bytes from a copy",
            ),
            Error::TwoPools => f.write_str(
                "the medium begins as one pool and ends as another: parts of images were mixed; restore it from a copy",
            ),
            Error::OtherSegments => f.write_str(
                "both superblocks are of another pool than the segments between them: parts of images were mixed; \
                 restore the first and the last 4096 bytes of the image from a copy",
            ),
            Error::TooSmall { actual, least } => {
                write!(f, "the medium has {actual} bytes, a pool needs at least {least}")
            }
            Error::BadOption(why) => write!(f, "cannot format: {why}"),
            Error::Damaged { offset } => write!(f, "damaged data at byte {offset:#x} of the medium"),
            Error::TooLarge { what, len, limit } => {
                write!(f, "{what} of {len} bytes is too large: the limit is {limit} bytes")
            }
            Error::Full => f.write_str("the pool is full; remove something"),
            Error::IndexFull => f.write_str("the index has no room for a new key or a large value; remove something"),
            Error::NoMemory { needed: 0 } => f.write_str("there is not enough memory"),
            Error::NoMemory { needed } => write!(
                f,
                "there is not enough memory: the pool's index and counters need about {} MiB",
                needed.div_ceil(1 << 20)
            ),
            Error::Gone => WriteError::Gone.fmt(f),
            Error::ReadOnly => WriteError::ReadOnly.fmt(f),
            Error::FenceFailed => WriteError::FenceFailed.fmt(f),
            Error::OutOfRange(out_of_range) => write!(f, "defect: {out_of_range}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<Gone> for Error {
    fn from(_: Gone) -> Self {
        Error::Gone
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Gone => Error::Gone,
            WriteError::ReadOnly => Error::ReadOnly,
            WriteError::FenceFailed => Error::FenceFailed,
        }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::OutOfRange(out_of_range) => out_of_range.into(),
            LoadError::Unreadable(bad) => Error::Damaged { offset: bad.start },
        }
    }
}

impl From<OutOfRange> for Error {
    fn from(out_of_range: OutOfRange) -> Self {
        Error::OutOfRange(out_of_range)
    }
}
