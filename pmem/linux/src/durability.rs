//! What a fence promises, and how it keeps it.
//!
//! A file's pages are the kernel's, which brings them to the disk when it is asked to: one fdatasync(2) for each fence,
//! whatever was stored where. msync(2) of each range does the same work once for each, and of what was not stored by
//! this process, or by an earlier one, it brings nothing (`examples/fences.rs` measures them).
//!
//! Persistent memory is written without the kernel. Only where that is sure to be enough is it done so: see
//! [`Map::of_persistent_memory`].

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pmem_medium::{DurableBy, SharedCounters};
use rustix::fs::{Advice, fadvise, fstatfs};

use crate::cache::WriteBack;
use crate::key::HeldKey;
use crate::map::{Keeping, Map};
use crate::sysfs::{self, DaxDevice, Domain};

/// What becomes of stores to a device, so that they are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nobody keeps them.
    Forgotten,
    /// The kernel has them.
    Kept,
    /// The kernel brings them to the disk, when it is asked to.
    Synced,
    /// This instruction writes their lines back to persistent memory.
    WrittenBack(WriteBack),
    /// They are in persistent memory as soon as they are in the cache.
    Cached,
}

impl Way {
    /// Its name.
    pub(crate) fn durable_by(self) -> DurableBy {
        match self {
            Self::Forgotten => DurableBy::Nothing,
            Self::Kept => DurableBy::Memory,
            Self::Synced => DurableBy::Sync,
            Self::WrittenBack(_) => DurableBy::Adr,
            Self::Cached => DurableBy::Eadr,
        }
    }

    /// That of persistent memory, on a CPU that has this instruction.
    fn of_domain(domain: Domain, write_back: WriteBack) -> Self {
        match domain {
            Domain::Caches => Self::Cached,
            Domain::MemoryController => Self::WrittenBack(write_back),
        }
    }
}

/// What can be mapped, as far as that is known before it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A file of this length.
    File(u64),
    /// A device.
    DaxDevice(DaxDevice),
}

impl Kind {
    /// The kind of an open file; nothing for one of another kind.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        Ok(match metadata.file_type() {
            kind if kind.is_file() => Some(Self::File(metadata.len())),
            kind if kind.is_char_device() => sysfs::dax_device(metadata.rdev()).map(Self::DaxDevice),
            _ => None,
        })
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> u64 {
        match self {
            Self::File(len) => len,
            Self::DaxDevice(device) => device.len,
        }
    }
}

/// Maps an open file, in the best way that there is for its stores.
pub(crate) fn map(file: &File, kind: Kind, keeping: Keeping, key: Option<&HeldKey>) -> io::Result<(Map, Way)> {
    let plain = |way| Map::new(file, kind.len(), keeping, key).map(|map| (map, way));
    let write_back = WriteBack::of_this_cpu();
    match (kind, write_back) {
        _ if keeping != Keeping::Shared => plain(Way::Forgotten),
        (Kind::DaxDevice(DaxDevice { domain: None, .. }), _) => plain(Way::Kept),
        (Kind::DaxDevice(DaxDevice { domain: Some(domain), .. }), Some(write_back)) => {
            plain(Way::of_domain(domain, write_back))
        }
        // No system call writes its lines back.
        (Kind::DaxDevice(_), None) => Err(io::ErrorKind::Unsupported.into()),
        (Kind::File(_), _) if is_in_memory(file)? => plain(Way::Kept),
        (Kind::File(len), Some(write_back)) => match Map::of_persistent_memory(file, len, key)? {
            Some(map) => {
                let domain = sysfs::domain_of_disk(file.metadata()?.dev()).unwrap_or(Domain::MemoryController);
                Ok((map, Way::of_domain(domain, write_back)))
            }
            None => plain(Way::Synced),
        },
        (Kind::File(_), None) => plain(Way::Synced),
    }
}

/// Whether a file lies in a file system that the kernel keeps in its memory, and nowhere else.
fn is_in_memory(file: &File) -> io::Result<bool> {
    // TMPFS_MAGIC, which memfd_create(2) has too, RAMFS_MAGIC and HUGETLBFS_MAGIC of linux/magic.h.
    const IN_MEMORY: [u32; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];
    // The field's type differs from one architecture to the next; the numbers have 32 bits.
    Ok(IN_MEMORY.contains(&(fstatfs(file)?.f_type as u32)))
}

/// The fences of a device that the kernel has to be asked for. Once one has failed, all do.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    failed: AtomicBool,
    /// Held while the kernel is asked. It tells of an error to one who asks, and takes the pages for clean after that:
    /// who asks later, or at the same time, would be told that all is well.
    asking: Mutex<()>,
}

impl Syncs {
    /// Whether one has failed.
    pub(crate) fn have_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Returns when all that was stored to the file is on its disk. After an error nothing can be promised of it, ever.
    pub(crate) fn sync(&self, file: &File, map: &Map, counters: &SharedCounters) -> io::Result<()> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.have_failed() {
            return Err(io::Error::other("an earlier attempt has failed"));
        }
        counters.sync();
        file.sync_data().inspect_err(|_| {
            self.failed.store(true, Ordering::Release);
            forget(file, map);
        })
    }
}

/// Has the kernel forget the pages that did not get to the disk, as far as it can: whoever opens the file next, and
/// builds on what it holds, is to find what the disk holds. The error that led here is the one to tell.
fn forget(file: &File, map: &Map) {
    let _ = map.forget_pages();
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::os::fd::FromRawFd;

    use super::*;

    #[test]
    fn files_in_memory_are_told_by_their_file_system() {
        // SAFETY: a system call with a name that lives as long as it runs; the descriptor is nobody else's.
        let memory = unsafe { File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) };
        assert!(is_in_memory(&memory).unwrap());
        assert!(!is_in_memory(&File::open("/proc/self/status").unwrap()).unwrap());
    }

    #[test]
    fn what_is_neither_a_file_nor_a_dax_device_has_no_kind() {
        assert!(Kind::of(&File::open("/dev/null").unwrap()).unwrap().is_none());
        assert!(Kind::of(&File::open("/").unwrap()).unwrap().is_none());
        let itself = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Kind::of(&itself).unwrap().unwrap().len(), itself.metadata().unwrap().len());
    }
}
