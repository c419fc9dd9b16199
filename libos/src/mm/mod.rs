//! Memory: physical frames, the one address space, the heap and thread stacks.
//!
//! Owns every page-table entry: attributes (permissions, key, cacheability, encryption) are computed for each leaf when
//! it is made; a change of permissions, and a split of a large page, keep all others.
//! RAM is mapped at its physical address; thread stacks and persistent memory have windows of their own (see
//! [`layout`]). Never: an alias of persistent memory, or a page both writable and executable.

pub mod attributes;
mod bitmap;
#[cfg(target_os = "hermit")]
pub(crate) mod fault;
pub mod frames;
pub mod layout;
pub mod page_table;

#[cfg(target_os = "hermit")]
mod device_memory;
#[cfg(target_os = "hermit")]
mod heap;
#[cfg(target_os = "hermit")]
mod ram;
#[cfg(target_os = "hermit")]
mod space;
#[cfg(target_os = "hermit")]
mod stack;

#[cfg(target_os = "hermit")]
pub use device_memory::{DeviceMapError, DmaRegion, allocate_dma, map_firmware, map_mmio};
#[cfg(target_os = "hermit")]
pub use heap::available_bytes;
#[cfg(target_os = "hermit")]
pub use ram::free_bytes;
#[cfg(target_os = "hermit")]
pub use space::translate;
#[cfg(target_os = "hermit")]
pub(crate) use {
    device_memory::{loaded, set_persistent},
    heap::{HEAP, account as heap_account},
    ram::ram_ranges,
    space::{is_mapped, map_pmem, mode, pmem_window, protect, table_bytes, unmap_pmem, with_leaves, with_low_page},
    stack::{Stack, StackError, most as most_stacks, unused_bytes as unused_stack_bytes},
};

use alloc::vec::Vec;
#[cfg(target_os = "hermit")]
use core::ops::Range;

#[cfg(target_os = "hermit")]
use crate::addr::PhysAddr;

/// What of the RAM that a machine has to have the firmware may keep for itself: QEMU's keeps less than half of it.
pub const FIRMWARE_RAM: u64 = 1 << 20;

/// What a call may need of memory beside what it was asked for: its objects, and entries of tables. Less than what the
/// heap takes for large, so that it may be of the part that is kept.
pub const CALL_ROOM: usize = 24 << 10;

/// Whether the heap has so many bytes in one piece. Small things that are allocated right afterwards will not fail.
pub fn has_room(bytes: usize) -> bool {
    let mut room = Vec::<u8>::new();
    let has = room.try_reserve_exact(bytes).is_ok();
    // What is allocated only to be freed, the compiler may leave out.
    core::hint::black_box(&mut room);
    has
}

/// Takes charge of the RAM in `usable`, except what lies in `reserved`, then builds the page tables, of this mode, and
/// loads them.
///
/// # Safety
/// `usable` is RAM that nobody else uses, apart from the image itself and `reserved`. Called once, on the boot mapping.
#[cfg(target_os = "hermit")]
pub(crate) unsafe fn init(
    usable: impl Iterator<Item = Range<PhysAddr>>,
    reserved: &[Range<PhysAddr>],
    mode: crate::arch::paging::Mode,
) -> Result<(), InitError> {
    // SAFETY: the caller promises just this.
    unsafe { ram::init(usable, reserved)? };
    space::init(mode).map_err(InitError::Map)
}

/// Why memory cannot be managed.
#[cfg(target_os = "hermit")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitError {
    /// There is no place for the list of who uses which frame.
    NoRoom,
    /// The page tables cannot be made.
    Map(page_table::MapError),
}

#[cfg(target_os = "hermit")]
impl core::fmt::Display for InitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRoom => f.write_str("no RAM after the image for the bitmap of frames"),
            Self::Map(error) => write!(f, "cannot map memory: {error}"),
        }
    }
}
