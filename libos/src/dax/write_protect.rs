//! Write-protection of parts of a device, by the page: what no grant opens.
//!
//! A grant opens a whole device. What is not to change for a while can be taken out of that by the permissions of its
//! pages, which bind every thread on every CPU at once. It costs an edit of the page tables and an interruption of all
//! CPUs, so it is for what stays protected for long.

use core::fmt;
use core::ops::Range;

use super::device::{Device, DeviceGone};
use super::grant::OutOfRange;
use crate::mm;
use crate::mm::attributes::Permissions;
use crate::mm::layout::PAGE;
use crate::mm::page_table::{Leaf, MapError};

/// Why the permissions of a part of a device did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProtectError {
    /// The device has gone away.
    Gone,
    /// The range is not inside the device.
    OutOfRange(OutOfRange),
    /// An end of the range is not a multiple of 4 KiB.
    Misaligned,
    /// The platform would not keep stores to this device, so that none of it can be writable.
    ReadOnly,
    /// There is no memory for the page tables that smaller pages need.
    OutOfMemory,
}

impl fmt::Display for WriteProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => DeviceGone.fmt(f),
            Self::OutOfRange(error) => error.fmt(f),
            Self::Misaligned => {
                f.write_str("pages can be write-protected, and so ranges whose ends are multiples of 4096")
            }
            Self::ReadOnly => f.write_str("the device is read-only, because the platform would not keep stores to it"),
            Self::OutOfMemory => MapError::OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for WriteProtectError {}

impl Device {
    /// Permits stores to this range of offsets, under a grant as ever, or forbids them to everyone, whatever grants
    /// there are. Large pages that reach over an end of the range are split. When this returns it holds on every
    /// CPU; stores that other threads make meanwhile may be before or after it. It waits for the other CPUs, so it
    /// is called with interrupts enabled and without a spinlock. On an error no permission has changed.
    pub fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        if range.start > range.end || range.end > self.len() {
            let length = range.end.saturating_sub(range.start);
            return Err(WriteProtectError::OutOfRange(OutOfRange { offset: range.start, length }));
        }
        if !(range.start | range.end).is_multiple_of(PAGE) {
            return Err(WriteProtectError::Misaligned);
        }
        if writable && self.is_read_only() {
            return Err(WriteProtectError::ReadOnly);
        }
        // The pages stay mapped as long as this is held.
        let _section = self.read_lock().map_err(|DeviceGone| WriteProtectError::Gone)?;
        let start = self.address_range().start;
        let permissions = if writable { Permissions::ReadWrite } else { Permissions::Read };
        match mm::protect(start + range.start..start + range.end, permissions) {
            Ok(()) => Ok(()),
            Err(MapError::OutOfMemory) => Err(WriteProtectError::OutOfMemory),
            Err(error) => unreachable!("a live device is mapped whole: {error}"),
        }
    }

    /// The page-table leaf that maps the byte at this offset: its page's size, key and permissions. `None` beyond the
    /// device's end, and once the device is unmapped.
    pub fn leaf(&self, offset: u64) -> Option<Leaf> {
        (offset < self.len()).then(|| mm::translate(self.address_range().start + offset)).flatten()
    }
}
