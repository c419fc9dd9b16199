//! A device on the host: a file, mapped shared and locked for this process alone.
//!
//! Durable means here what the host's kernel can promise: a fence is `msync` of what was written back since the last
//! one. There is no protection key, so a stray store by this process is not caught; and no write-protection of pages,
//! for which `memmap2` has nothing below a whole map: [`Medium::set_writable`] checks its argument and does nothing.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

pub use disk::Shortage;
use memmap2::{MmapOptions, MmapRaw};

use crate::medium::{
    Counters, Gone, LINE, Load, LoadError, Medium, OutOfRange, SharedCounters, Store, WriteError, lines_touched,
};

/// A persistent-memory device: on the host, a mapped file.
#[derive(Debug)]
pub struct Device {
    map: MmapRaw,
    path: PathBuf,
    writable: bool,
    counters: SharedCounters,
    /// Holds the lock that keeps other processes out; released when the file closes.
    file: File,
}

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
    /// The operating system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Exists(path) => write!(f, "{} exists already; it was left as it is", path.display()),
            OpenError::InUse(path) => write!(f, "{} is in use by another process; stop that one first", path.display()),
            OpenError::Empty(path) => write!(f, "{} is empty: a device needs a length", path.display()),
            OpenError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

impl Device {
    /// Opens an existing file, for this process alone.
    pub fn open(path: impl AsRef<Path>) -> Result<Device, OpenError> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).open(path);
        Self::map(path, file.map_err(|error| OpenError::Io(path.into(), error))?, true)
    }

    /// Opens an existing file for reading only; several processes may do so at once. Write scopes are [`Gone`].
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

    /// Holds the device in place: it cannot go away while the lock lives. Grants are taken inside it.
    pub fn read_lock(&self) -> Result<ReadLock<'_>, Gone> {
        Ok(ReadLock { device: self })
    }
}

/// Liveness of a device: while this lives the device stays. It permits nothing by itself; see [`ReadLock::read`].
#[derive(Debug)]
pub struct ReadLock<'d> {
    device: &'d Device,
}

impl ReadLock<'_> {
    /// Runs `f` with read access.
    pub fn read<R>(&self, f: impl FnOnce(&ReadGrant<'_>) -> R) -> R {
        self.device.counters.read_grant();
        f(&ReadGrant { device: self.device, _thread: PhantomData })
    }

    /// Runs `f` with read and write access, unless the device is read-only.
    pub fn write<R>(&self, f: impl FnOnce(&WriteGrant<'_>) -> R) -> Result<R, WriteError> {
        if !self.device.writable {
            return Err(WriteError::ReadOnly);
        }
        self.device.counters.write_grant();
        let read = ReadGrant { device: self.device, _thread: PhantomData };
        Ok(f(&WriteGrant { read, unfenced: RefCell::new(Vec::new()) }))
    }
}

/// Read access to a device for one scope and one thread.
#[derive(Debug)]
pub struct ReadGrant<'d> {
    device: &'d Device,
    /// A grant belongs to the thread that took it: neither `Send` nor `Sync`.
    _thread: PhantomData<*mut ()>,
}

/// Read and write access to a device for one scope and one thread.
#[derive(Debug)]
pub struct WriteGrant<'d> {
    read: ReadGrant<'d>,
    /// Ranges written back and not yet fenced, in bytes.
    unfenced: RefCell<Vec<Range<u64>>>,
}

impl Load for ReadGrant<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        OutOfRange::check(offset, into.len() as u64, self.size())?;
        self.device.counters.loaded(into.len() as u64);
        // SAFETY: the map is readable for its whole length as long as the device lives, which the grant's lifetime
        // proves, and the check above keeps the source inside it. `into` is DRAM of ours, so the two do not overlap.
        unsafe {
            core::ptr::copy_nonoverlapping(
                self.device.map.as_ptr().add(offset as usize),
                into.as_mut_ptr(),
                into.len(),
            );
        }
        Ok(())
    }
}

impl Load for WriteGrant<'_> {
    fn size(&self) -> u64 {
        self.read.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        self.read.load(offset, into)
    }
}

impl Store for WriteGrant<'_> {
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, from.len() as u64, self.size())?;
        self.read.device.counters.stored(from.len() as u64);
        // SAFETY: the map is writable for its whole length (a write grant exists only then) as long as the device
        // lives, and the check above keeps the target inside it. No Rust reference to the map is ever made, and `from`
        // is DRAM of ours, so the two do not overlap.
        unsafe {
            let to = self.read.device.map.as_mut_ptr().add(offset as usize);
            match <[u8; 8]>::try_from(from) {
                Ok(word) if to.cast::<u64>().is_aligned() => to.cast::<u64>().write_volatile(u64::from_ne_bytes(word)),
                _ => core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()),
            }
        }
        Ok(())
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, len, self.size())?;
        self.read.device.counters.stored(len);
        // SAFETY: as for `store`.
        unsafe {
            core::ptr::write_bytes(self.read.device.map.as_mut_ptr().add(offset as usize), byte, len as usize);
        }
        Ok(())
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(range.start, range.end.saturating_sub(range.start), self.size())?;
        if range.start >= range.end {
            return Ok(());
        }
        self.read.device.counters.written_back(lines_touched(&range));
        let mut unfenced = self.unfenced.borrow_mut();
        match unfenced.last_mut() {
            // Neighbours become one call to msync.
            Some(last) if range.start <= last.end.next_multiple_of(LINE) && range.start >= last.start => {
                last.end = last.end.max(range.end);
            }
            _ => unfenced.push(range),
        }
        Ok(())
    }

    fn fence(&self) {
        self.read.device.counters.fence();
        for range in self.unfenced.borrow_mut().drain(..) {
            let bytes = (range.end - range.start) as usize;
            if let Err(error) = self.read.device.map.flush_range(range.start as usize, bytes) {
                // Nothing can be promised after this, and a promise is the fence's only result.
                panic!("{}: msync failed, data may not be durable: {error}", self.read.device.name());
            }
        }
    }
}

impl Medium for Device {
    type Reader<'g> = &'g ReadGrant<'g>;
    type Writer<'g> = &'g WriteGrant<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        reader
    }

    fn len(&self) -> u64 {
        self.size()
    }

    fn is_read_only(&self) -> bool {
        !self.writable
    }

    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        Ok(self.read_lock()?.read(|grant| f(grant)))
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        self.read_lock()?.write(|grant| f(grant))
    }

    fn counters(&self) -> Counters {
        self.counters.snapshot()
    }
}

mod disk;
#[cfg(test)]
mod tests;
