//! A device: a file, mapped for this process alone, under a key of its own.

use std::fs::{File, TryLockError};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use libos_contract::protection::Protection;
use libos_contract::rights::Key;
use pmem_medium::{Durability, DurableBy, SharedCounters, WriteProtectError};

use crate::devices::{Entry, OpenDevice};
use crate::disk::Shortage;
use crate::durability::{self, Kind, Syncs, Way};
use crate::error::OpenError;
use crate::fault;
use crate::key::HeldKey;
use crate::map::{Keeping, Map};

/// A persistent-memory device: a mapped file. How one is opened is said at [`OpenOptions`](crate::OpenOptions).
#[derive(Debug)]
pub struct Device {
    // In the order in which they go when it is dropped: nobody finds a map that is gone, and no page is left under a
    // key that is free.
    entry: Entry,
    pub(crate) map: Map,
    key: Option<HeldKey>,
    keeping: Keeping,
    pub(crate) way: Way,
    syncs: Syncs,
    path: PathBuf,
    pub(crate) counters: SharedCounters,
    /// Holds the lock that keeps other processes out; released when the file closes.
    file: File,
}

impl Device {
    /// Locks a file and maps it, under the key that `take_key` gives. What is stored to it has to survive what
    /// `durability` says.
    pub(crate) fn new(
        path: &Path,
        file: File,
        kind: Kind,
        keeping: Keeping,
        durability: Durability,
        take_key: impl FnOnce() -> Result<Option<HeldKey>, OpenError>,
    ) -> Result<Self, OpenError> {
        let io_error = |error| OpenError::Io(path.into(), error);
        let locked = if keeping == Keeping::Shared { file.try_lock() } else { file.try_lock_shared() };
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.into()),
            TryLockError::Error(error) => io_error(error),
        })?;
        if kind.len() == 0 {
            return Err(OpenError::Empty(path.into()));
        }
        let key = take_key()?;
        let mapped = durability::map(&file, kind, keeping, key.as_ref());
        let (map, way) = mapped.map_err(|error| OpenError::NotMapped(path.into(), error))?;
        if way.durable_by().durability() < durability {
            return Err(OpenError::NotDurable { path: path.into(), asked: durability, by: way.durable_by() });
        }
        if way.durable_by().durability() == Durability::Power && matches!(kind, Kind::File(_)) {
            // A process that was killed may have stored what it did not fence, and whoever reads it builds on it. An
            // error of the disk's that nobody was told of comes up here, too.
            file.sync_data().map_err(io_error)?;
        }
        Self::of(map, way, key, keeping, path, file)
    }

    /// A device of what it is made of.
    pub(crate) fn of(
        map: Map,
        way: Way,
        key: Option<HeldKey>,
        keeping: Keeping,
        path: &Path,
        file: File,
    ) -> Result<Self, OpenError> {
        // Before anybody can stray into it.
        fault::install().map_err(|error| OpenError::Io(path.into(), error))?;
        let entry =
            Entry::new(map.addresses(), key.as_ref().map(HeldKey::key), file.as_raw_fd(), &path.display().to_string());
        let entry = entry.ok_or_else(|| OpenError::TooMany(path.into()))?;
        let (syncs, counters) = (Syncs::default(), SharedCounters::default());
        Ok(Self { entry, map, key, keeping, way, syncs, path: path.into(), counters, file })
    }

    /// Makes the file of a device that is open for writing `len` bytes long, with zeros, if it is not that long yet.
    /// Nobody else gets at it in the meantime.
    pub fn extend(self, len: u64) -> Result<Self, OpenError> {
        let io_error = |error| OpenError::Io(self.path.clone(), error);
        if let Some(Kind::DaxDevice(_)) = Kind::of(&self.file).map_err(io_error)? {
            return Err(OpenError::FixedLength(self.path));
        }
        let len = len.max(self.size());
        let mapped = self.file.set_len(len).and_then(|()| {
            // The length is durable before anything is that lies there.
            self.file.sync_all()?;
            durability::map(&self.file, Kind::File(len), self.keeping, self.key.as_ref())
        });
        let (map, way) = mapped.map_err(io_error)?;
        self.entry.is_mapped_at(map.addresses());
        Ok(Self { map, way, ..self })
    }

    /// The name that people know the device by: the file's path.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The device's length in bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// What keeps stray accesses out: `pku`, or `none`.
    pub fn protection(&self) -> String {
        if self.key.is_some() { Protection::Pku } else { Protection::None }.to_string()
    }

    /// What makes stored bytes durable, and so what they survive: [`DurableBy::durability`].
    pub fn durable_by(&self) -> DurableBy {
        self.way.durable_by()
    }

    /// Returns when all that was stored is on the file's disk.
    ///
    /// # Panics
    /// When it cannot be brought there: nothing can be promised after this, and a promise is a fence's only result. The
    /// device takes no more stores.
    pub(crate) fn sync(&self) {
        if let Err(error) = self.syncs.sync(&self.file, &self.map, &self.counters) {
            panic!("{}: what was stored since the last fence may not be durable: fdatasync: {error}", self.name());
        }
    }

    /// Whether what was stored could not be brought to the disk, once.
    pub(crate) fn has_failed(&self) -> bool {
        self.syncs.have_failed()
    }

    /// The key that the device is under.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key.as_ref().map(HeldKey::key)
    }

    /// The device as the table of all that are open has it, for reports.
    pub fn in_table(&self) -> OpenDevice {
        self.entry.device()
    }

    /// Whether there is nothing that would keep stores.
    pub(crate) fn keeps_no_stores(&self) -> bool {
        self.keeping == Keeping::ReadOnly
    }

    /// Permits stores to whole pages, or forbids them: see [`pmem_medium::Medium::set_writable`].
    pub(crate) fn protect(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        WriteProtectError::check(&range, self.size())?;
        if writable && self.keeps_no_stores() {
            return Err(WriteProtectError::ReadOnly);
        }
        let pages = range.start as usize..range.end as usize;
        self.map.set_writable(pages, writable).map_err(|error| match error.raw_os_error() {
            // The map of a DAX device is not split within one of its pages.
            Some(libc::EINVAL) => WriteProtectError::LargePages(range),
            // What is left to go wrong is that the kernel cannot split the map once more.
            _ => WriteProtectError::OutOfMemory,
        })
    }

    /// Sets who decides about stray accesses to this device; without a handler the fault policy does.
    ///
    /// # Safety
    /// The handler runs in the handler of a signal, whatever that has interrupted, so it does only what
    /// `signal-safety(7)` permits: it allocates nothing, takes no lock, waits for nothing and does not unwind. It runs
    /// with closed rights and all signals blocked; a stray access of its own ends the process.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    pub unsafe fn set_fault_handler(&self, handler: Option<fault::FaultHandler>) {
        fault::set_handler(self.in_table(), handler);
    }

    /// What the disk under the file lacks, if anything. A system that does not tell is taken to have room.
    pub fn shortage(&self) -> Option<Shortage> {
        Shortage::of(&self.file).ok().flatten()
    }
}
