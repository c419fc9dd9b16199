//! Why there is no device.

use std::path::PathBuf;
use std::{fmt, io};

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
            OpenError::NoKey(path, why) => write!(f, "{}: {why}", path.display()),
            OpenError::TooMany(path) => {
                write!(f, "{}: {} devices are open in this process, which is the most", path.display(), devices::MOST)
            }
            OpenError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}
