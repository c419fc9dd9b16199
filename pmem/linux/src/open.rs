//! How a device is opened.

use std::fs::{self, File, OpenOptions as FileOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use libos_contract::protection::{Protection, ProtectionChoice};
use pmem_medium::{Durability, Store};

use crate::device::Device;
use crate::durability::{Kind, Way};
use crate::error::OpenError;
use crate::key::{self, HeldKey, NoKey};
use crate::map::Keeping;

/// What can be chosen when a device is opened. [`Device::open`] and its kin choose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    protection: ProtectionChoice,
    durability: Durability,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { protection: ProtectionChoice::default(), durability: Durability::None }
    }
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
        Self { protection, ..self }
    }

    /// What bytes have to survive that were stored, written back and fenced: where they would not, it is refused. If
    /// nothing is chosen they survive what they can; [`Device::durable_by`] says what that is.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Opens an existing file, or a DAX device such as `/dev/dax0.0`, for this process alone. What is in it already is
    /// made durable first.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = options().write(true).open(path);
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
        // First, so that a file is not even made by an attempt that is refused.
        let key = self.key(path)?;
        let io_error = |error| OpenError::Io(path.into(), error);
        let file = options().write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenError::Exists(path.into()),
            _ => io_error(error),
        })?;
        let sized = file.set_len(len).and_then(|()| sync_name(path)).map_err(io_error);
        let device =
            sized.and_then(|()| Device::new(path, file, Kind::File(len), Keeping::Shared, self.durability, || Ok(key)));
        device.inspect_err(|_| {
            // It would only be in the way of the next attempt; the first error is the one to tell.
            let _ = fs::remove_file(path);
        })
    }

    fn without_writing(&self, path: &Path, keeping: Keeping) -> Result<Device, OpenError> {
        let file = options().open(path).map_err(|error| OpenError::Io(path.into(), error))?;
        self.device(path, file, keeping)
    }

    fn device(&self, path: &Path, file: File, keeping: Keeping) -> Result<Device, OpenError> {
        let kind = Kind::of(&file).map_err(|error| OpenError::Io(path.into(), error))?;
        let kind = kind.ok_or_else(|| OpenError::NotAFile(path.into()))?;
        let device = Device::new(path, file, kind, keeping, self.durability, || self.key(path))?;
        if let (Kind::DaxDevice(_), Way::WrittenBack(_)) = (kind, device.way) {
            write_back(&device);
        }
        Ok(device)
    }

    /// The key for the device of this file.
    fn key(&self, path: &Path) -> Result<Option<HeldKey>, OpenError> {
        take_key(self.protection).map_err(|why| OpenError::NoKey(path.into(), why))
    }
}

/// Files that are opened for reading at least, without waiting: nobody would ever write to a FIFO.
fn options() -> FileOptions {
    let mut options = FileOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Makes durable that there is a file of this name. Not every file system has that asked for by itself, nor may
/// everybody who makes a file read its directory.
fn sync_name(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let synced = File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
    synced.or_else(|error| match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(error),
    })
}

/// Makes durable what is in persistent memory already: a process that was killed may have stored what it did not fence,
/// and whoever reads it builds on it. For files their file system does so.
fn write_back(device: &Device) {
    let all = device.read_lock().map(|lock| {
        lock.write(|grant| {
            grant.write_back(0..device.size()).expect("it is the device's whole length");
            grant.fence();
        })
    });
    debug_assert!(matches!(all, Ok(Ok(()))), "{all:?}");
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
