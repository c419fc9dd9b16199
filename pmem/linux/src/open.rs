//! How a device is opened.

use std::fs::{File, OpenOptions as FileOptions};
use std::io;
use std::path::Path;

use libos_contract::protection::{Protection, ProtectionChoice};

use crate::device::Device;
use crate::error::OpenError;
use crate::key::{self, HeldKey, NoKey};
use crate::map::Keeping;

/// What can be chosen when a device is opened. [`Device::open`] and its kin choose nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    protection: ProtectionChoice,
}

impl OpenOptions {
    /// Nothing is chosen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to keep stray accesses out:
    ///
    /// - `auto`, if nothing is chosen: a key of the device's own where the CPU and the kernel have keys, and nothing
    ///   where they have none. [`Device::protection`] says which. Where they have keys and none is free it is refused.
    /// - `pku`: a key, or a refusal.
    /// - `none`: nothing. For experiments, and for more than fifteen devices.
    #[must_use]
    pub fn protection(self, protection: ProtectionChoice) -> Self {
        Self { protection }
    }

    /// Opens an existing file, for this process alone.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = FileOptions::new().read(true).write(true).open(path);
        self.device(path, file.map_err(|error| OpenError::Io(path.into(), error))?, Keeping::Shared)
    }

    /// Opens an existing file for reading only; several processes may do so at once. No write scope is entered
    /// ([`WriteError::ReadOnly`](pmem_medium::WriteError::ReadOnly)).
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Device, OpenError> {
        self.without_writing(path.as_ref(), Keeping::ReadOnly)
    }

    /// Opens an existing file so that stores stay in this process and are forgotten with it; the file is only read, and
    /// several processes may do so at once.
    pub fn open_copy_on_write(&self, path: impl AsRef<Path>) -> Result<Device, OpenError> {
        self.without_writing(path.as_ref(), Keeping::Private)
    }

    /// Creates a file of `len` zero bytes and opens it. An existing file is an error.
    pub fn create(&self, path: impl AsRef<Path>, len: u64) -> Result<Device, OpenError> {
        let path = path.as_ref();
        // First, so that no file is left by an attempt that is refused.
        let key = self.key(path)?;
        let file = FileOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenError::Exists(path.into()),
            _ => OpenError::Io(path.into(), error),
        })?;
        if let Err(error) = file.set_len(len) {
            // A file of no size would only be in the way of the next attempt; the first error is the one to tell.
            let _ = std::fs::remove_file(path);
            return Err(OpenError::Io(path.into(), error));
        }
        Device::new(path, file, Keeping::Shared, || Ok(key))
    }

    fn without_writing(&self, path: &Path, keeping: Keeping) -> Result<Device, OpenError> {
        let file = File::open(path).map_err(|error| OpenError::Io(path.into(), error))?;
        self.device(path, file, keeping)
    }

    fn device(&self, path: &Path, file: File, keeping: Keeping) -> Result<Device, OpenError> {
        Device::new(path, file, keeping, || self.key(path))
    }

    /// The key for the device of this file.
    fn key(&self, path: &Path) -> Result<Option<HeldKey>, OpenError> {
        take_key(self.protection).map_err(|why| OpenError::NoKey(path.into(), why))
    }
}

/// The key for a device of which this is asked.
fn take_key(choice: ProtectionChoice) -> Result<Option<HeldKey>, NoKey> {
    match choice {
        ProtectionChoice::Only(Protection::None) => Ok(None),
        ProtectionChoice::Only(Protection::Pks) => Err(NoKey::Supervisor),
        ProtectionChoice::Auto if !key::available() => Ok(None),
        ProtectionChoice::Auto | ProtectionChoice::Only(Protection::Pku) => HeldKey::take().map(Some),
    }
}

impl Device {
    /// Opens an existing file, for this process alone.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        OpenOptions::new().open(path)
    }

    /// Opens an existing file for reading only: see [`OpenOptions::open_read_only`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        OpenOptions::new().open_read_only(path)
    }

    /// Opens an existing file so that stores stay in this process: see [`OpenOptions::open_copy_on_write`].
    pub fn open_copy_on_write(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        OpenOptions::new().open_copy_on_write(path)
    }

    /// Creates a file of `len` zero bytes and opens it. An existing file is an error.
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self, OpenError> {
        OpenOptions::new().create(path, len)
    }
}
