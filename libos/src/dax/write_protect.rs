//! Write-protection of parts of a device, by the page: what no grant opens.
//!
//! A grant opens a whole device. What is not to change for a while can be taken out of that by the permissions of its
//! pages, which bind every thread on every CPU at once. It costs an edit of the page tables and an interruption of all
//! CPUs, so it is for what stays protected for long.

use core::ops::Range;

use pmem_medium::{Gone, WriteProtectError};

use super::device::Device;
use crate::mm;
use crate::mm::attributes::Permissions;
use crate::mm::page_table::{Leaf, MapError};

impl Device {
    /// Permits stores to this range of offsets, or forbids them: see [`pmem_medium::Medium::set_writable`].
    pub(super) fn protect(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        WriteProtectError::check(&range, self.len())?;
        if writable && self.is_read_only() {
            return Err(WriteProtectError::ReadOnly);
        }
        // The pages stay mapped as long as this is held.
        let _section = self.read_lock().map_err(|Gone| WriteProtectError::Gone)?;
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
