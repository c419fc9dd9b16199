//! A file's pages in this process's memory, under a key from the first moment.
//!
//! No Rust reference into them is ever made: other processes may change a file that is read, and the compiler would
//! move accesses through a reference out of the scope that permits them.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::{io, ptr};

use crate::key::HeldKey;

/// What becomes of stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeping {
    /// They go to the file.
    Shared,
    /// They stay in this process.
    Private,
    /// There are none.
    ReadOnly,
}

/// A map of a whole file. It goes with this.
#[derive(Debug)]
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

// SAFETY: the map belongs to no thread. What is done through its pointer is up to whoever uses it.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `len` bytes of a file, under `key` if there is one. Nothing of it can be touched before it is
    /// under the key. A process that forks does not hand it to its child, which would have all that the parent has
    /// and no part in the file's lock.
    pub(crate) fn new(file: &File, len: u64, keeping: Keeping, key: Option<&HeldKey>) -> io::Result<Self> {
        let flags = if keeping == Keeping::Private { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
        Self::with_flags(file, len, flags, keeping, key)
    }

    /// Maps persistent memory itself, if the file lies in it and its file system can do so: nothing of the file
    /// system's stands between a store and its being in the file after a loss of power, once its cache lines are
    /// written back (MAP_SYNC of mmap(2)).
    pub(crate) fn of_persistent_memory(file: &File, len: u64, key: Option<&HeldKey>) -> io::Result<Option<Self>> {
        // The kernel ignores flags that it does not know, but with these.
        let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
        match Self::with_flags(file, len, flags, Keeping::Shared, key) {
            Ok(map) => Ok(Some(map)),
            // An old kernel does not know the flags.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn with_flags(
        file: &File,
        len: u64,
        flags: libc::c_int,
        keeping: Keeping,
        key: Option<&HeldKey>,
    ) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: a new map at a place that the kernel chooses touches nothing that is there.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = Self { start: start.cast(), len };
        // SAFETY: the pages are this map's.
        succeeded(unsafe { libc::madvise(start, len, libc::MADV_DONTFORK) })?;
        let permissions = if keeping == Keeping::ReadOnly { READ } else { READ | WRITE };
        match key {
            // SAFETY: the map is new and this one's; a device drops its map before its key.
            Some(key) => unsafe { key.protect(map.start, len, permissions) }?,
            None => map.protect(0..len, permissions)?,
        }
        Ok(map)
    }

    /// Bytes without a file, which Miri can map too.
    #[cfg(test)]
    pub(crate) fn anonymous(len: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: as in `new`.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, READ | WRITE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), len }
    }

    /// Its first byte.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.start.addr()..self.start.addr() + self.len
    }

    /// Permits stores to whole pages of it, for those who have the right to, or forbids them to everybody. Its key
    /// stays.
    pub(crate) fn set_writable(&self, range: Range<usize>, writable: bool) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.protect(range, if writable { READ | WRITE } else { READ })
    }

    /// Forgets which pages the kernel had for this map: the next access has it look for the page again.
    pub(crate) fn forget_pages(&self) -> io::Result<()> {
        // SAFETY: the pages are this map's, which is of a file and shared: what was stored is the file's.
        succeeded(unsafe { libc::madvise(self.start.cast(), self.len, libc::MADV_DONTNEED) })
    }

    fn protect(&self, range: Range<usize>, permissions: libc::c_int) -> io::Result<()> {
        debug_assert!(range.end <= self.len);
        // SAFETY: the pages are this map's, and no reference into them exists that other permissions would break.
        succeeded(unsafe { libc::mprotect(self.start.add(range.start).cast(), range.len(), permissions) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the pages are this map's. Whoever has used its pointer has borrowed what owns it.
        let unmapped = succeeded(unsafe { libc::munmap(self.start.cast(), self.len) });
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

const READ: libc::c_int = libc::PROT_READ;
const WRITE: libc::c_int = libc::PROT_WRITE;

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
