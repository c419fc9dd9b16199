//! Memory that devices, firmware and the boot loader share with us: registers, buffers, tables and files. Never
//! persistent memory, which devices could change behind its protection key.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use spin::Once;

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

/// Why memory of a device, or of the firmware, could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMapError {
    /// Registers would lie over RAM or persistent memory.
    OverMemory(u64),
    /// A table of the firmware lies in persistent memory.
    InPersistentMemory(u64),
    /// There can be nothing at this address, or not so much.
    Impossible(u64, usize),
    /// The page tables do not take it.
    Map(u64, MapError),
}

impl fmt::Display for DeviceMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverMemory(at) => write!(f, "device registers at {at:#x} lie over memory"),
            Self::InPersistentMemory(at) => write!(f, "a firmware table at {at:#x} lies in persistent memory"),
            Self::Impossible(at, len) => write!(f, "firmware names the impossible address {at:#x}+{len:#x}"),
            Self::Map(at, error) => write!(f, "cannot map {at:#x}: {error}"),
        }
    }
}

impl core::error::Error for DeviceMapError {}

/// The physical ranges of persistent memory, which are nobody's registers or tables.
static PERSISTENT: Once<Vec<Range<u64>>> = Once::new();

/// Says where persistent memory is, once: from then on nothing else is mapped there.
pub(crate) fn set_persistent(ranges: Vec<Range<u64>>) {
    PERSISTENT.call_once(|| ranges);
}

fn is_persistent(range: &Range<u64>) -> bool {
    PERSISTENT.get().is_some_and(|all| all.iter().any(|each| each.start < range.end && range.start < each.end))
}

/// Maps a device's registers, uncacheable, at their physical address.
pub fn map_mmio(phys: u64, len: usize) -> Result<NonNull<u8>, DeviceMapError> {
    let range = pages(phys, len)?;
    if is_ram(&range) || is_persistent(&range) {
        return Err(DeviceMapError::OverMemory(phys));
    }
    map(range, Attributes::DEVICE)?;
    NonNull::new(phys as *mut u8).ok_or(DeviceMapError::Impossible(phys, len))
}

/// Maps a table of the firmware, read-only, at its physical address.
pub fn map_firmware(phys: u64, len: usize) -> Result<&'static [u8], DeviceMapError> {
    let range = pages(phys, len)?;
    if is_persistent(&range) {
        return Err(DeviceMapError::InPersistentMemory(phys));
    }
    map(range, Attributes::CONSTANT)?;
    // SAFETY: the pages are mapped for ever. Firmware wrote them before the boot and nobody writes them since: RAM that
    // holds them is reserved in the memory map, so it is in no allocator.
    Ok(unsafe { slice::from_raw_parts(phys as *const u8, len) })
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
    protect(whole_pages(range.start, len), Permissions::Read)?;
    // SAFETY: the pages are RAM, mapped for ever, and `mm::init` has reserved them whole, so no allocator has them; the
    // loader wrote them before the boot, and nobody can since.
    Ok(unsafe { slice::from_raw_parts(range.start as *const u8, len) })
}

fn pages(phys: u64, len: usize) -> Result<Range<u64>, DeviceMapError> {
    let end = phys.checked_add(len as u64).filter(|&end| end <= IDENTITY_END && phys >= PAGE);
    end.map(|_| whole_pages(phys, len)).ok_or(DeviceMapError::Impossible(phys, len))
}

fn whole_pages(phys: u64, len: usize) -> Range<u64> {
    phys / PAGE * PAGE..(phys + len as u64).next_multiple_of(PAGE)
}

fn map(range: Range<u64>, attributes: Attributes) -> Result<(), DeviceMapError> {
    let start = range.start;
    map_identity(range, attributes).map_err(|error| DeviceMapError::Map(start, error))
}
