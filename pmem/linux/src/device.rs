//! A device: a file, mapped shared and locked for this process alone.
//!
//! There is no protection key, so a stray store by this process is not caught; and no write-protection of pages, for
//! which `memmap2` has nothing below a whole map: `Medium::set_writable` checks its argument and does nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use memmap2::{MmapOptions, MmapRaw};
use pmem_medium::SharedCounters;

use crate::disk::{self, Shortage};
use crate::error::OpenError;

/// A persistent-memory device: a mapped file.
#[derive(Debug)]
pub struct Device {
    pub(crate) map: MmapRaw,
    pub(crate) path: PathBuf,
    pub(crate) writable: bool,
    pub(crate) counters: SharedCounters,
    /// Holds the lock that keeps other processes out; released when the file closes.
    pub(crate) file: File,
}

impl Device {
    /// Opens an existing file, for this process alone.
    pub fn open(path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).open(path);
        Self::map(path, file.map_err(|error| OpenError::Io(path.into(), error))?, true)
    }

    /// Opens an existing file for reading only; several processes may do so at once. Write scopes are
    /// [`Gone`](pmem_medium::Gone).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = File::open(path);
        Self::map(path, file.map_err(|error| OpenError::Io(path.into(), error))?, false)
    }

    /// Opens an existing file so that stores stay in this process and are forgotten with it; the file is only read, and
    /// several processes may do so at once.
    pub fn open_copy_on_write(path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let io_error = |error| OpenError::Io(path.into(), error);
        let device = Self::map(path, File::open(path).map_err(io_error)?, false)?;
        // SAFETY: the map is turned into a raw one at once, and no Rust reference to it is ever made: bytes that
        // another process changes in the file are copied like any others. The lock keeps away those that would.
        let map = unsafe { MmapOptions::new().map_copy(&device.file) }.map_err(io_error)?;
        Ok(Device { map: map.into(), writable: true, ..device })
    }

    /// Creates a file of `len` zero bytes and opens it. An existing file is an error.
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenError::Exists(path.into()),
            _ => OpenError::Io(path.into(), error),
        })?;
        if let Err(error) = file.set_len(len) {
            // A file of no size would only be in the way of the next attempt; the first error is the one to tell.
            let _ = std::fs::remove_file(path);
            return Err(OpenError::Io(path.into(), error));
        }
        Self::map(path, file, true)
    }

    /// Makes the file of a device that is open for writing `len` bytes long, with zeros, if it is not that long yet.
    /// Nobody else gets at it in the meantime.
    pub fn extend(self, len: u64) -> Result<Device, OpenError> {
        let io_error = |error| OpenError::Io(self.path.clone(), error);
        let map = self.file.set_len(len.max(self.size())).and_then(|()| {
            // The length is durable before anything is that lies there.
            self.file.sync_all()?;
            MmapOptions::new().map_raw(&self.file)
        });
        Ok(Device { map: map.map_err(io_error)?, ..self })
    }

    fn map(path: &Path, file: File, writable: bool) -> Result<Device, OpenError> {
        let io_error = |error| OpenError::Io(path.into(), error);
        let locked = if writable { file.try_lock() } else { file.try_lock_shared() };
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.into()),
            TryLockError::Error(error) => io_error(error),
        })?;
        if file.metadata().map_err(io_error)?.len() == 0 {
            return Err(OpenError::Empty(path.into()));
        }
        let map =
            if writable { MmapOptions::new().map_raw(&file) } else { MmapOptions::new().map_raw_read_only(&file) };
        Ok(Device {
            map: map.map_err(io_error)?,
            path: path.into(),
            writable,
            counters: SharedCounters::default(),
            file,
        })
    }

    /// The name that people know the device by: the file's path.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The device's length in bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// What keeps stray stores out: nothing, on the host.
    pub fn protection(&self) -> String {
        "none".into()
    }

    /// What the disk under the file lacks, if anything. A system that does not tell is taken to have room.
    pub fn shortage(&self) -> Option<Shortage> {
        Shortage::of(&self.file).ok().flatten()
    }

    /// Lets the process say why, if it is ended by SIGBUS: most likely the disk under this file is full. For a program
    /// with one device, which calls it once.
    pub fn explain_bus_errors(&self) -> io::Result<()> {
        disk::explain_bus_errors(&self.name())
    }
}
