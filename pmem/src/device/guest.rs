//! A device on the guest: an NVDIMM that `libos` mapped under its own protection key.
//!
//! Liveness, grants and copies are `libos::dax`'s own. This chooses the device and counts from its opening on, and
//! needs no `unsafe`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use libos::dax;
pub use libos::dax::{ReadGrant, ReadLock, WriteGrant};

use crate::medium::{Counters, DurableBy, Gone, Medium, WriteError, WriteProtectError};

/// A persistent-memory device: on the guest, an NVDIMM.
#[derive(Debug)]
pub struct Device {
    inner: &'static dax::Device,
    /// What was done to it before it was opened.
    before: Counters,
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
            Some(inner) => Ok(Device { inner, before: inner.counters() }),
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

    /// What makes stored bytes durable, as the platform says, and so what they survive:
    /// [`DurableBy::durability`].
    pub fn durable_by(&self) -> DurableBy {
        self.inner.durable_by()
    }

    /// Holds the device in place: it cannot go away while the lock lives. Grants are taken inside it.
    pub fn read_lock(&self) -> Result<ReadLock<'_>, Gone> {
        self.inner.read_lock()
    }
}

impl Medium for Device {
    type Reader<'g> = &'g ReadGrant<'g>;
    type Writer<'g> = &'g WriteGrant<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        reader
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    // Inlined as `libos`'s are, so that a fault report, which names who took the last grants, names their callers.
    #[inline(always)]
    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        Medium::read(self.inner, f)
    }

    #[inline(always)]
    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        Medium::write(self.inner, f)
    }

    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        self.inner.set_writable(range, writable)
    }

    fn media_errors(&self) -> usize {
        self.inner.media_errors()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        self.inner.bad_ranges()
    }

    fn counters(&self) -> Counters {
        self.inner.counters().since(&self.before)
    }
}
