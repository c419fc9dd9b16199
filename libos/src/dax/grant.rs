//! Sections and grants.
//!
//! A grant is a *scope*, a closure, and not a guard object: a guard can be leaked, or two guards can be dropped in the
//! wrong order, and either would leave memory open that nobody holds a grant for. Scopes nest by construction, and the
//! end of each restores exactly the rights before it, whatever way it ends.
//!
//! Inside, memory is reached by copying in and out. There are no references into persistent memory: the compiler may
//! move an access through a reference across the register write, since it believes that a reference is always valid.

use core::marker::PhantomData;
use core::ops::Range;

use pmem_medium::{Gone, Load, LoadError, OutOfRange, Store, WriteError};

use super::device::Device;
use super::record;
use crate::addr::VirtAddr;
use crate::arch::{backtrace, dax_copy, key_rights};
use crate::keys::{Access, Rights};

/// A section in which the device cannot go away; permission to touch it comes with [`Self::read`] or [`Self::write`].
/// It may be held while sleeping. It stays on its thread.
#[derive(Debug)]
pub struct ReadLock<'d> {
    device: &'d Device,
    /// Neither `Send` nor `Sync`.
    thread_bound: PhantomData<*const ()>,
}

/// Permission to read a device, on this thread, within a scope.
#[derive(Debug)]
pub struct ReadGrant<'g> {
    device: &'g Device,
    thread_bound: PhantomData<*const ()>,
}

/// Permission to read and write a device, on this thread, within a scope.
#[derive(Debug)]
pub struct WriteGrant<'g> {
    reader: ReadGrant<'g>,
}

/// An open window: the register is changed when it begins and restored when it ends. Never leaves this module, so it
/// can neither be leaked nor dropped out of order.
struct Window<'d> {
    device: &'d Device,
    access: Access,
    before: Option<Rights>,
    /// The grant's number in the context's record.
    number: usize,
}

impl<'d> Window<'d> {
    /// Not inlined, so that its return address tells who asked.
    #[inline(never)]
    fn open(device: &'d Device, access: Access) -> Self {
        let number = record::begin_grant(device, access, backtrace::return_address());
        let open = |key| key_rights::update(|rights| rights.with(key, access));
        Self { device, access, before: device.protection_key().map(open), number }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            key_rights::update(|_| before);
            record::leave_lent_sections(before);
        }
        record::end_grant(self.device, self.access, self.number);
    }
}

impl Device {
    /// Enters a section in which the device cannot go away. It gives no permission: see [`ReadLock::read`] and
    /// [`ReadLock::write`].
    pub fn read_lock(&self) -> Result<ReadLock<'_>, Gone> {
        if self.enter_section() { Ok(ReadLock::new(self)) } else { Err(Gone) }
    }
}

impl<'d> ReadLock<'d> {
    /// For a section that was entered.
    #[inline]
    fn new(device: &'d Device) -> Self {
        record::count_section(device, 1);
        Self { device, thread_bound: PhantomData }
    }

    /// Runs `scope` with permission to read the device. Inside a write grant of the same device it takes the permission
    /// to write away until it ends.
    // Inlined, as `write` is, so that the return address that is recorded for a report is the caller's.
    #[inline(always)]
    pub fn read<R>(&self, scope: impl FnOnce(&ReadGrant<'_>) -> R) -> R {
        self.device.counters.read_grant();
        let _window = Window::open(self.device, Access::Read);
        scope(&ReadGrant { device: self.device, thread_bound: PhantomData })
    }

    /// Runs `scope` with permission to read and write the device, unless the platform would not keep what is stored.
    #[inline(always)]
    pub fn write<R>(&self, scope: impl FnOnce(&WriteGrant<'_>) -> R) -> Result<R, WriteError> {
        if self.device.is_read_only() {
            return Err(WriteError::ReadOnly);
        }
        self.device.counters.write_grant();
        let _window = Window::open(self.device, Access::Write);
        Ok(scope(&WriteGrant { reader: ReadGrant { device: self.device, thread_bound: PhantomData } }))
    }
}

impl Drop for ReadLock<'_> {
    fn drop(&mut self) {
        record::count_section(self.device, -1);
        self.device.leave_section();
    }
}

impl ReadGrant<'_> {
    /// The address of `length` bytes at `offset`, if they are inside the device.
    fn address(&self, offset: u64, length: u64) -> Result<VirtAddr, OutOfRange> {
        OutOfRange::check(offset, length, self.device.len())?;
        Ok(self.device.address_range().start + offset)
    }
}

impl Load for ReadGrant<'_> {
    fn size(&self) -> u64 {
        self.device.len()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        let from = self.address(offset, into.len() as u64)?;
        self.device.counters.loaded(into.len() as u64);
        loop {
            if let Some(bad) = self.device.unreadable(&(offset..offset + into.len() as u64)) {
                return Err(LoadError::Unreadable(bad));
            }
            // SAFETY: the source is inside the device's mapping, which lasts as long as the section that this grant
            // borrows from, and this thread's window is open while a grant exists; the target is the
            // caller's exclusive slice, which is ordinary memory.
            if unsafe { dax_copy::copy(into.as_mut_ptr(), from.as_ptr(), into.len()) } {
                return Ok(());
            }
            // A machine check has cut it short: because of a byte of these, or it was about another place.
        }
    }
}

impl Load for WriteGrant<'_> {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        self.reader.load(offset, into)
    }
}

impl Store for WriteGrant<'_> {
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        let to = self.reader.address(offset, from.len() as u64)?;
        self.reader.device.counters.stored(from.len() as u64);
        // SAFETY: as in `ReadGrant::load` with the roles exchanged; this window permits writing, and nobody has a
        // reference into the device.
        let whole = unsafe { dax_copy::copy(to.as_mut_ptr(), from.as_ptr(), from.len()) };
        debug_assert!(whole, "only a copy from persistent memory is cut short");
        Ok(())
    }

    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        let length = from.len() as u64;
        let to = self.reader.address(offset, length)?;
        if !to.is_aligned(8) || !length.is_multiple_of(8) {
            self.store(offset, from)?;
            return self.write_back(offset..offset + length);
        }
        self.reader.device.counters.streamed(length);
        // SAFETY: as in `store`; the target's alignment was checked.
        unsafe { dax_copy::stream(to.as_mut_ptr(), from.as_ptr(), from.len() / 8) };
        Ok(())
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        let to = self.reader.address(offset, len)?;
        self.reader.device.counters.stored(len);
        // SAFETY: as in `store`.
        unsafe { dax_copy::fill(to.as_mut_ptr(), byte, len as usize) };
        Ok(())
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        let length = range.end.saturating_sub(range.start);
        let start = self.reader.address(range.start, length)?;
        let device = self.reader.device;
        // SAFETY: the lines are inside the device's mapping (its ends are page-aligned), and the window is open (as in
        // `load`).
        let lines = unsafe { dax_copy::write_back(device.write_back_instruction(), start, start + length) };
        device.counters.written_back(lines);
        Ok(())
    }

    fn fence(&self) {
        self.reader.device.counters.fence();
        dax_copy::fence();
    }
}
