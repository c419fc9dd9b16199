//! Why an operation on files fails.

use core::fmt;

/// Why an operation failed, in POSIX's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A part of the path does not exist.
    NotFound,
    /// What should be a directory is a file.
    NotADirectory,
    /// What should be a file is a directory.
    IsADirectory,
    /// The name is taken.
    Exists,
    /// The permissions do not allow it.
    Denied,
    /// The directory has entries.
    NotEmpty,
    /// The root directory cannot be removed.
    Busy,
    /// A name has more than 255 bytes, or the path more than 4095.
    NameTooLong,
    /// Files may not take more RAM, or there is none.
    NoSpace,
    /// The position is beyond what a file can have.
    TooLarge,
    /// The arguments contradict each other.
    Invalid,
    /// The descriptor was not opened for this.
    BadDescriptor,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "a part of the path is not a directory",
            Self::IsADirectory => "it is a directory",
            Self::Exists => "it exists",
            Self::Denied => "its permissions do not allow it",
            Self::NotEmpty => "the directory is not empty",
            Self::Busy => "the root directory cannot be removed",
            Self::NameTooLong => "a name is longer than 255 bytes, or the path than 4095",
            Self::NoSpace => "no RAM is left for files",
            Self::TooLarge => "the position is beyond the largest file",
            Self::Invalid => "the arguments contradict each other",
            Self::BadDescriptor => "it was not opened for this",
        })
    }
}
