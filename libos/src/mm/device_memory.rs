//! Memory that devices, firmware and the boot loader share with us: registers, buffers, tables and files. Never
//! persistent memory, which devices could change behind its protection key.

use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use super::attributes::{Attributes, Permissions};
use super::layout::{IDENTITY_END, PAGE};
use super::page_table::MapError;
use super::ram::{allocate_frames, is_ram, ram_ranges};
use super::space::{map_identity, protect};

/// Memory for direct memory access: contiguous, at a physical address that a device is told, ours for ever.
#[derive(Clone, Copy, Debug)]
pub struct DmaRegion {
    /// Where the program sees it.
    pub virt: NonNull<u8>,
    /// Where a device sees it.
    pub phys: u64,
    /// Its length in bytes.
    pub len: usize,
}

// SAFETY: the region is plain memory without thread affinity; whoever holds it argues each access.
unsafe impl Send for DmaRegion {}
// SAFETY: as for `Send`; a shared reference gives nothing but the addresses.
unsafe impl Sync for DmaRegion {}

/// Zeroed memory for direct memory access, whole pages; `None` when RAM is full.
pub fn allocate_dma(bytes: usize) -> Option<DmaRegion> {
    let pages = (bytes as u64).div_ceil(PAGE);
    let phys = allocate_frames(pages)?;
    let virt = NonNull::new(phys as *mut u8)?;
    let len = (pages * PAGE) as usize;
    // SAFETY: the frames are ours alone, RAM and identity mapped.
    unsafe { ptr::write_bytes(virt.as_ptr(), 0, len) };
    Some(DmaRegion { virt, phys, len })
}

/// Maps a device's registers, uncacheable, at their physical address.
pub fn map_mmio(phys: u64, len: usize) -> NonNull<u8> {
    let range = pages(phys, len);
    if is_ram(&range) || crate::dax::overlaps(&range) {
        crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "device registers at {phys:#x} lie over memory");
    }
    map(range, Attributes::DEVICE);
    NonNull::new(phys as *mut u8).expect("page 0 is never a device's")
}

/// Maps a table of the firmware, read-only, at its physical address.
pub fn map_firmware(phys: u64, len: usize) -> &'static [u8] {
    let range = pages(phys, len);
    if crate::dax::overlaps(&range) {
        crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "a firmware table at {phys:#x} lies in persistent memory");
    }
    map(range, Attributes::CONSTANT);
    // SAFETY: the pages are mapped for ever. Firmware wrote them before the boot and nobody writes them since: RAM that
    // holds them is reserved in the memory map, so it is in no allocator.
    unsafe { slice::from_raw_parts(phys as *const u8, len) }
}

/// What the boot loader put into RAM, which was kept out of the allocator since: from now on nobody can write there.
/// Called by a thread.
pub(crate) fn loaded(range: Range<u64>) -> Result<&'static [u8], MapError> {
    if range.is_empty() {
        return Ok(&[]);
    }
    if !ram_ranges().any(|ram| ram.start <= range.start && range.end <= ram.end) {
        return Err(MapError::BadPhysical(range.start));
    }
    let len = (range.end - range.start) as usize;
    protect(pages(range.start, len), Permissions::Read)?;
    // SAFETY: the pages are RAM, mapped for ever, and `mm::init` has reserved them whole, so no allocator has them; the
    // loader wrote them before the boot, and nobody can since.
    Ok(unsafe { slice::from_raw_parts(range.start as *const u8, len) })
}

fn pages(phys: u64, len: usize) -> Range<u64> {
    let end = phys.checked_add(len as u64).filter(|&end| end <= IDENTITY_END && phys >= PAGE);
    let Some(end) = end else {
        crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "firmware names the impossible address {phys:#x}+{len:#x}");
    };
    phys / PAGE * PAGE..end.next_multiple_of(PAGE)
}

fn map(range: Range<u64>, attributes: Attributes) {
    if let Err(error) = map_identity(range.clone(), attributes) {
        crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "cannot map {:#x}: {error}", range.start);
    }
}
