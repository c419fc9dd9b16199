//! Why there is no device.

use std::path::PathBuf;
use std::{fmt, io};

use pmem_medium::{Durability, DurableBy};

use crate::devices;
use crate::key::NoKey;

/// Why a device could not be opened or created.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file exists already, and `create` never overwrites one.
    Exists(PathBuf),
    /// Another process has the file open as a device.
    InUse(PathBuf),
    /// The file has no bytes to map.
    Empty(PathBuf),
    /// It is neither a file nor a DAX device: a directory, a disk, a pipe.
    NotAFile(PathBuf),
    /// It cannot be mapped.
    NotMapped(PathBuf, io::Error),
    /// It has a length of its own.
    FixedLength(PathBuf),
    /// What is stored there does not survive what it has to.
    NotDurable {
        /// The file.
        path: PathBuf,
        /// What it has to survive.
        asked: Durability,
        /// What makes stored bytes durable there.
        by: DurableBy,
    },
    /// It has no protection key, and was not to be without.
    NoKey(PathBuf, NoKey),
    /// As many devices are open in this process as are looked after.
    TooMany(PathBuf),
    /// The operating system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Exists(path) => write!(f, "{} exists already; it was left as it is", path.display()),
            OpenError::InUse(path) => write!(f, "{} is in use by another process; stop that one first", path.display()),
            OpenError::Empty(path) => write!(f, "{} is empty: a device needs a length", path.display()),
            OpenError::NotAFile(path) => write!(
                f,
                "{} is neither a file nor a DAX device (as /dev/dax0.0), so it cannot be persistent memory",
                path.display()
            ),
            OpenError::NotMapped(path, error) => write!(
                f,
                "{} cannot be mapped into memory: {error}; ext4, XFS, tmpfs and DAX devices can be",
                path.display()
            ),
            OpenError::FixedLength(path) => {
                write!(f, "{} is a DAX device, and has the length that it has", path.display())
            }
            OpenError::NotDurable { path, asked, by } => {
                write!(
                    f,
                    "{}: what is stored there does not survive {}: {}",
                    path.display(),
                    lost_with(*asked),
                    why(*by)
                )
            }
            OpenError::NoKey(path, why) => write!(f, "{}: {why}", path.display()),
            OpenError::TooMany(path) => {
                write!(f, "{}: {} devices are open in this process, which is the most", path.display(), devices::MOST)
            }
            OpenError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// What ends, if stored bytes have to survive this.
fn lost_with(asked: Durability) -> &'static str {
    match asked {
        Durability::Power => "a loss of power",
        Durability::None | Durability::Process => "the process",
    }
}

/// Why stored bytes survive no more.
fn why(by: DurableBy) -> &'static str {
    match by {
        DurableBy::Nothing => "it is opened so that stores are not kept",
        _ => "it is memory that goes with the power, as tmpfs is; a file on a disk, or persistent memory, is durable",
    }
}
