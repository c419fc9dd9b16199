//! Memory that a device reads and writes while we do.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use crate::addr::PhysAddr;

/// A piece of memory that is shared with a device for ever.
///
/// Every access is checked against its bounds. The 16-bit indices of a ring are atomic, because they order everything
/// else; what lies between is volatile.
#[derive(Clone, Copy, Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
    bus: PhysAddr,
}

// SAFETY: it is plain memory without thread affinity, and all ways to it are atomic or volatile, or slices whose
// exclusive use their callers argue.
unsafe impl Send for SharedMemory {}
// SAFETY: as for `Send`.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Wraps `len` bytes at `base`, which the device finds at `bus`.
    ///
    /// # Safety
    /// The memory is valid and aligned to 16 bytes for ever, and nobody but the caller and the device uses it.
    pub const unsafe fn new(base: NonNull<u8>, len: usize, bus: PhysAddr) -> Self {
        Self { base, len, bus }
    }

    /// Its length.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// A part of it.
    ///
    /// # Panics
    /// If the part is not within it.
    pub fn part(&self, offset: usize, len: usize) -> Self {
        assert!(offset <= self.len && len <= self.len - offset, "a part lies within the whole");
        // SAFETY: `offset` is within the memory.
        let base = unsafe { self.base.add(offset) };
        Self { base, len, bus: self.bus + offset as u64 }
    }

    /// Where the device finds it.
    pub const fn bus(&self) -> PhysAddr {
        self.bus
    }

    fn pointer<T>(&self, offset: usize) -> *mut T {
        assert!(offset <= self.len && size_of::<T>() <= self.len - offset, "an access lies within the memory");
        assert!((self.base.as_ptr() as usize + offset).is_multiple_of(align_of::<T>()), "an access is aligned");
        // SAFETY: `offset` is within the memory.
        unsafe { self.base.as_ptr().add(offset).cast() }
    }

    fn atomic(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: `pointer` has checked bounds and alignment, the memory is valid for ever, and the device accesses
        // these places atomically, too.
        unsafe { AtomicU16::from_ptr(self.pointer(offset)) }
    }

    /// Reads a 16-bit value.
    pub fn load(&self, offset: usize, ordering: Ordering) -> u16 {
        self.atomic(offset).load(ordering)
    }

    /// Writes a 16-bit value.
    pub fn store(&self, offset: usize, value: u16, ordering: Ordering) {
        self.atomic(offset).store(value, ordering);
    }

    /// Reads a 32-bit value.
    pub fn read_u32(&self, offset: usize) -> u32 {
        // SAFETY: `pointer` has checked bounds and alignment, and every value is valid.
        unsafe { self.pointer::<u32>(offset).read_volatile() }
    }

    /// Writes a 32-bit value.
    pub fn write_u32(&self, offset: usize, value: u32) {
        // SAFETY: `pointer` has checked bounds and alignment.
        unsafe { self.pointer::<u32>(offset).write_volatile(value) }
    }

    /// Writes a 64-bit value.
    pub fn write_u64(&self, offset: usize, value: u64) {
        // SAFETY: `pointer` has checked bounds and alignment.
        unsafe { self.pointer::<u64>(offset).write_volatile(value) }
    }

    /// The bytes themselves.
    ///
    /// # Safety
    /// The device does not write to them, and no other slice of them is used, while the slice lives.
    pub unsafe fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the memory is valid; the caller answers for exclusive use.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

#[cfg(test)]
pub mod test_support {
    use std::alloc::{Layout, alloc_zeroed};

    use super::*;
    use crate::addr::VirtAddr;

    /// Memory as `mm::allocate_dma` gives it. The "bus" address is the real one, so that a fake device finds it.
    pub fn leaked(len: usize) -> SharedMemory {
        // SAFETY: the layout is not empty, and the memory is never freed.
        unsafe {
            let base = NonNull::new(alloc_zeroed(Layout::from_size_align(len, 4096).unwrap())).unwrap();
            SharedMemory::new(base, len, VirtAddr::from_ptr(base.as_ptr()).identity_physical())
        }
    }
}
