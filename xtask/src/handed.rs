//! What QEMU is handed as an open descriptor and not by a name: it needs no directory for temporary files, whatever the
//! length of its path, and nothing is left behind, however this process ends.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};

/// A file in memory, for who cares by this name.
pub(crate) fn file(name: &str) -> Result<File> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC).with_context(|| format!("cannot make a file for {name}"))?;
    Ok(file.into())
}

/// The path by which a process that inherits this descriptor opens the same file.
pub(crate) fn path(descriptor: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}
