//! Sections and grants of a device, and the copies inside them.
//!
//! A grant is a *scope*, a closure, and not a guard object: a guard can be leaked, or two guards can be dropped in the
//! wrong order, and either would leave memory open that nobody holds a grant for. Scopes nest by construction, and the
//! end of each gives back the access that there was before it, by whatever way it ends. Rights belong to a thread: one
//! that sleeps keeps them, and the kernel takes them along to another CPU.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use libos_contract::rights::{Access, Key};
use pmem_medium::{
    Counters, Gone, Load, LoadError, Medium, OutOfRange, Store, WriteError, WriteProtectError, lines_touched,
};

use crate::cache;
use crate::device::Device;
use crate::durability::Way;
use crate::key::register;
use crate::record;

impl Device {
    /// Holds the device in place: it cannot go away while the lock lives. Grants are taken inside it.
    pub fn read_lock(&self) -> Result<ReadLock<'_>, Gone> {
        Ok(ReadLock { device: self })
    }
}

/// An open window: this thread's access to a device changes when it begins, and is what it was before when it ends.
/// Never leaves this module, so it can neither be leaked nor dropped out of order.
struct Window {
    /// The device's key, and the access before; nothing where no key protects.
    before: Option<(Key, Access)>,
    /// The grant's number in the thread's record.
    recorded: usize,
}

impl Window {
    // Inlined, as are the scopes, so that a fault report, which names who took the last grants, names their callers.
    #[inline(always)]
    fn open(device: &Device, access: Access) -> Self {
        let recorded = record::begin(device.in_table(), access);
        Self { before: device.key().map(|key| (key, register::set(key, access))), recorded }
    }
}

impl Drop for Window {
    #[inline]
    fn drop(&mut self) {
        if let Some((key, access)) = self.before {
            register::set(key, access);
        }
        record::end(self.recorded);
    }
}

/// Liveness of a device: while this lives the device stays. It permits nothing by itself; see [`ReadLock::read`].
#[derive(Debug)]
pub struct ReadLock<'d> {
    device: &'d Device,
}

impl ReadLock<'_> {
    /// Runs `f` with read access. Inside a write grant of the same device it takes the permission to write away until
    /// it ends.
    #[inline(always)]
    pub fn read<R>(&self, f: impl FnOnce(&ReadGrant<'_>) -> R) -> R {
        self.device.counters.read_grant();
        let _window = Window::open(self.device, Access::Read);
        f(&ReadGrant { device: self.device, _thread: PhantomData })
    }

    /// Runs `f` with read and write access, unless the device is read-only.
    #[inline(always)]
    pub fn write<R>(&self, f: impl FnOnce(&WriteGrant<'_>) -> R) -> Result<R, WriteError> {
        if self.device.keeps_no_stores() {
            return Err(WriteError::ReadOnly);
        }
        if self.device.has_failed() {
            return Err(WriteError::FenceFailed);
        }
        self.device.counters.write_grant();
        let _window = Window::open(self.device, Access::Write);
        let read = ReadGrant { device: self.device, _thread: PhantomData };
        Ok(f(&WriteGrant { read, unsynced: Cell::new(false) }))
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
    /// Whether there is something that the kernel is to bring to the disk.
    unsynced: Cell<bool>,
}

impl Load for ReadGrant<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        OutOfRange::check(offset, into.len() as u64, self.size())?;
        self.device.counters.loaded(into.len() as u64);
        // SAFETY: the map is readable for its whole length as long as the device lives, which the grant's lifetime
        // proves, to a thread whose window is open, as this one's is while a grant exists, for grants stay on their
        // threads. The check above keeps the source inside. `into` is DRAM of ours, so the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(self.device.map.start().add(offset as usize), into.as_mut_ptr(), into.len());
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
        // SAFETY: the map takes stores (a write grant exists only then) as long as the device lives, from a thread
        // whose window is open, and the check above keeps the target inside it. A page that is write-protected ends
        // the process by a signal. No Rust reference to the map is ever made, and `from` is DRAM of ours, so the two
        // do not overlap.
        unsafe {
            let to = self.read.device.map.start().add(offset as usize);
            match <[u8; 8]>::try_from(from) {
                Ok(word) if to.cast::<u64>().is_aligned() => to.cast::<u64>().write_volatile(u64::from_ne_bytes(word)),
                _ => std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()),
            }
        }
        Ok(())
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        OutOfRange::check(offset, len, self.size())?;
        self.read.device.counters.stored(len);
        // SAFETY: as for `store`.
        unsafe {
            std::ptr::write_bytes(self.read.device.map.start().add(offset as usize), byte, len as usize);
        }
        Ok(())
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(range.start, range.end.saturating_sub(range.start), self.size())?;
        if range.start >= range.end {
            return Ok(());
        }
        let device = self.read.device;
        let lines = match device.way {
            // SAFETY: the map begins with a page and lasts as long as the device; the check above keeps the range
            // inside it, and this thread's window is open while a grant exists, for grants stay on their threads.
            Way::WrittenBack(by) => unsafe { cache::write_back(by, device.map.start(), &range) },
            Way::Cached => 0,
            Way::Synced | Way::Kept | Way::Forgotten => lines_touched(&range),
        };
        device.counters.written_back(lines);
        self.unsynced.set(true);
        Ok(())
    }

    fn fence(&self) {
        let device = self.read.device;
        device.counters.fence();
        match device.way {
            Way::WrittenBack(_) | Way::Cached => cache::fence(),
            Way::Synced if self.unsynced.take() => device.sync(),
            Way::Synced | Way::Kept | Way::Forgotten => {}
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
        self.keeps_no_stores()
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
        self.protect(range, writable)
    }

    fn counters(&self) -> Counters {
        self.counters.snapshot()
    }
}

#[cfg(test)]
mod tests;
