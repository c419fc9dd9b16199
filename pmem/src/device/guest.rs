//! A device on the guest: an NVDIMM that `libos` mapped under its own protection key.
//!
//! A thin adapter: names, lengths, liveness, grants and copies are all `libos::dax`'s. This adds views (through
//! [`Load`] and [`Store`]) and counters, and needs no `unsafe`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use libos::dax;

use crate::medium::{
    Counters, Gone, Load, LoadError, Medium, OutOfRange, SharedCounters, Store, WriteError, WriteProtectError,
};

/// A persistent-memory device: on the guest, an NVDIMM.
#[derive(Debug)]
pub struct Device {
    inner: &'static dax::Device,
    counters: SharedCounters,
}

/// Why a device could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no device of that name.
    NotFound(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenError::NotFound(name) = self;
        write!(f, "no persistent-memory device {name}; this machine has")?;
        match dax::devices() {
            [] => f.write_str(" none"),
            devices => devices.iter().try_for_each(|device| write!(f, " {}", device.name())),
        }
    }
}

impl core::error::Error for OpenError {}

impl Device {
    /// Opens the device of that name, such as `pmem0`.
    pub fn open(name: impl AsRef<str>) -> Result<Device, OpenError> {
        let name = name.as_ref();
        match dax::devices().iter().find(|device| device.name() == name) {
            Some(inner) => Ok(Device { inner, counters: SharedCounters::default() }),
            None => Err(OpenError::NotFound(name.into())),
        }
    }

    /// The name that people know the device by.
    pub fn name(&self) -> String {
        self.inner.name().into()
    }

    /// The device's length in bytes.
    pub fn size(&self) -> u64 {
        self.inner.len()
    }

    /// What keeps stray stores out, such as `pks`.
    pub fn protection(&self) -> String {
        self.inner.protection().to_string()
    }

    /// Holds the device in place: it cannot go away while the lock lives. Grants are taken inside it.
    pub fn read_lock(&self) -> Result<ReadLock<'_>, Gone> {
        let inner = self.inner.read_lock().map_err(|_| Gone)?;
        Ok(ReadLock { inner, device: self })
    }
}

/// Liveness of a device: while this lives the device stays. It permits nothing by itself; see [`ReadLock::read`].
pub struct ReadLock<'d> {
    inner: dax::ReadLock<'d>,
    device: &'d Device,
}

impl ReadLock<'_> {
    // These two and `Medium`'s are inlined so that a fault report, which names who took the last grants, names their
    // callers.

    /// Runs `f` with read access.
    #[inline(always)]
    pub fn read<R>(&self, f: impl FnOnce(&ReadGrant<'_>) -> R) -> R {
        self.device.counters.read_grant();
        self.inner.read(|inner| f(&ReadGrant { inner, device: self.device }))
    }

    /// Runs `f` with read and write access, unless the device is read-only.
    #[inline(always)]
    pub fn write<R>(&self, f: impl FnOnce(&WriteGrant<'_>) -> R) -> Result<R, WriteError> {
        if self.device.inner.is_read_only() {
            return Err(WriteError::ReadOnly);
        }
        self.device.counters.write_grant();
        Ok(self.inner.write(|inner| f(&WriteGrant { inner, device: self.device })))
    }
}

/// Read access to a device for one scope and one thread.
pub struct ReadGrant<'d> {
    inner: &'d dax::ReadGrant<'d>,
    device: &'d Device,
}

/// Read and write access to a device for one scope and one thread.
pub struct WriteGrant<'d> {
    inner: &'d dax::WriteGrant<'d>,
    device: &'d Device,
}

impl Load for ReadGrant<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        let len = into.len() as u64;
        self.device.counters.loaded(len);
        self.inner.load(offset, into).map_err(|error| load_error(self.device, error, offset, len))
    }
}

impl Load for WriteGrant<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        let len = into.len() as u64;
        self.device.counters.loaded(len);
        self.inner.load(offset, into).map_err(|error| load_error(self.device, error, offset, len))
    }
}

impl Store for WriteGrant<'_> {
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        self.device.counters.stored(from.len() as u64);
        self.inner.store(offset, from).map_err(|_| out_of_range(self.device, offset, from.len() as u64))
    }

    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        let len = from.len() as u64;
        if self.inner.stream(offset, from).map_err(|_| out_of_range(self.device, offset, len))? {
            self.device.counters.streamed(len);
            return Ok(());
        }
        self.store(offset, from)?;
        self.write_back(offset..offset + len)
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        self.device.counters.stored(len);
        self.inner.fill(offset, len, byte).map_err(|_| out_of_range(self.device, offset, len))
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        let (start, bytes) = (range.start, range.end.saturating_sub(range.start));
        let lines = self.inner.write_back(range).map_err(|_| out_of_range(self.device, start, bytes))?;
        self.device.counters.written_back(lines);
        Ok(())
    }

    fn fence(&self) {
        self.device.counters.fence();
        self.inner.fence();
    }
}

fn load_error(device: &Device, error: dax::LoadError, offset: u64, bytes: u64) -> LoadError {
    match error {
        dax::LoadError::OutOfRange(_) => out_of_range(device, offset, bytes).into(),
        dax::LoadError::Unreadable(range) => LoadError::Unreadable(range),
    }
}

fn out_of_range(device: &Device, offset: u64, bytes: u64) -> OutOfRange {
    OutOfRange { range: offset..offset.saturating_add(bytes), len: device.size() }
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
        self.inner.is_read_only()
    }

    #[inline(always)]
    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        Ok(self.read_lock()?.read(|grant| f(grant)))
    }

    #[inline(always)]
    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        self.read_lock()?.write(|grant| f(grant))
    }

    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        WriteProtectError::check(&range, self.size())?;
        self.inner.set_writable(range.clone(), writable).map_err(|error| match error {
            dax::WriteProtectError::Gone => WriteProtectError::Gone,
            dax::WriteProtectError::OutOfRange(_) => {
                WriteProtectError::OutOfRange(OutOfRange { range, len: self.size() })
            }
            dax::WriteProtectError::Misaligned => WriteProtectError::Misaligned(range),
            dax::WriteProtectError::ReadOnly => WriteProtectError::ReadOnly,
            dax::WriteProtectError::OutOfMemory => WriteProtectError::OutOfMemory,
        })
    }

    fn media_errors(&self) -> usize {
        self.inner.media_errors()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        self.inner.bad_ranges().collect()
    }

    fn counters(&self) -> Counters {
        self.counters.snapshot()
    }
}
