//! Memory that devices, firmware and the boot loader share with us: registers, buffers, tables and files. Never
//! persistent memory, which devices could change behind its protection key.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use super::attributes::{Attributes, Permissions};
use super::layout::{IDENTITY_END, PAGE};
use super::page_table::MapError;
use super::ram::{allocate_frames, is_ram, ram_ranges};
use super::space::{identity_mapped, map_identity, protect};
use crate::addr::{AddrRange, PhysAddr};
use crate::sync::Once;

/// The first address at which something can be mapped: page 0 stays unmapped.
const FIRST: PhysAddr = PhysAddr::new(PAGE);

/// Memory for direct memory access: contiguous, at a physical address that a device is told, ours for ever.
#[derive(Clone, Copy, Debug)]
pub struct DmaRegion {
    /// Where the program sees it.
    pub virt: NonNull<u8>,
    /// Where a device sees it.
    pub phys: PhysAddr,
    /// Its length.
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
    let virt = NonNull::new(phys.identity_mapped().as_mut_ptr())?;
    let len = (pages * PAGE) as usize;
    // SAFETY: the frames are ours alone, RAM and identity mapped.
    unsafe { ptr::write_bytes(virt.as_ptr(), 0, len) };
    Some(DmaRegion { virt, phys, len })
}

/// Why memory of a device, or of the firmware, could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMapError {
    /// Registers would lie over RAM or persistent memory.
    OverMemory(PhysAddr),
    /// A table of the firmware lies in persistent memory.
    InPersistentMemory(PhysAddr),
    /// There can be nothing at this address, or not so much.
    Impossible(PhysAddr, usize),
    /// The page tables do not take it.
    Map(PhysAddr, MapError),
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
static PERSISTENT: Once<Vec<Range<PhysAddr>>> = Once::new();

/// Says where persistent memory is, once: from then on nothing else is mapped there.
pub(crate) fn set_persistent(ranges: Vec<Range<PhysAddr>>) {
    PERSISTENT.call_once(|| ranges);
}

fn is_persistent(range: &Range<PhysAddr>) -> bool {
    PERSISTENT.get().is_some_and(|all| all.iter().any(|each| each.overlaps(range)))
}

/// Maps a device's registers, uncacheable, at their physical address.
pub fn map_mmio(phys: PhysAddr, len: usize) -> Result<NonNull<u8>, DeviceMapError> {
    let range = pages(phys, len)?;
    if is_ram(&range) || is_persistent(&range) {
        return Err(DeviceMapError::OverMemory(phys));
    }
    map(&range, Attributes::DEVICE)?;
    NonNull::new(phys.identity_mapped().as_mut_ptr()).ok_or(DeviceMapError::Impossible(phys, len))
}

/// Maps a table of the firmware, read-only, at its physical address.
pub fn map_firmware(phys: PhysAddr, len: usize) -> Result<&'static [u8], DeviceMapError> {
    let range = pages(phys, len)?;
    if is_persistent(&range) {
        return Err(DeviceMapError::InPersistentMemory(phys));
    }
    map(&range, Attributes::CONSTANT)?;
    // SAFETY: the pages are mapped for ever. Firmware wrote them before the boot and nobody writes them since: RAM that
    // holds them is reserved in the memory map, so it is in no allocator.
    Ok(unsafe { slice::from_raw_parts(phys.identity_mapped().as_ptr(), len) })
}

/// What the boot loader put into RAM, which was kept out of the allocator since: from now on nobody can write there.
/// Called by a thread.
pub(crate) fn loaded(range: &Range<PhysAddr>) -> Result<&'static [u8], MapError> {
    if range.is_empty() {
        return Ok(&[]);
    }
    if !ram_ranges().any(|ram| ram.covers(range)) {
        return Err(MapError::BadPhysical(range.start));
    }
    protect(identity_mapped(&range.widened_to(PAGE)), Permissions::Read)?;
    // SAFETY: the pages are RAM, mapped for ever, and `mm::init` has reserved them whole, so no allocator has them; the
    // loader wrote them before the boot, and nobody can since.
    Ok(unsafe { slice::from_raw_parts(range.start.identity_mapped().as_ptr(), range.length() as usize) })
}

fn pages(phys: PhysAddr, len: usize) -> Result<Range<PhysAddr>, DeviceMapError> {
    let end = phys.checked_add(len as u64).filter(|&end| end <= IDENTITY_END && phys >= FIRST);
    end.map(|end| (phys..end).widened_to(PAGE)).ok_or(DeviceMapError::Impossible(phys, len))
}

fn map(range: &Range<PhysAddr>, attributes: Attributes) -> Result<(), DeviceMapError> {
    map_identity(range, attributes).map_err(|error| DeviceMapError::Map(range.start, error))
}
