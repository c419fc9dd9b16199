//! Memory: physical frames, the one address space, the heap and thread stacks.
//!
//! Owns every page-table entry: attributes (permissions, key, cacheability, encryption) are computed for each leaf when
//! it is made; a change of permissions, and a split of a large page, keep all others.
//! RAM is mapped at its physical address; thread stacks and persistent memory have windows of their own (see
//! [`layout`]). Never: an alias of persistent memory, or a page both writable and executable.

pub mod attributes;
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
pub use device_memory::{DmaRegion, allocate_dma, map_firmware, map_mmio};
#[cfg(target_os = "hermit")]
pub use ram::free_bytes;
#[cfg(target_os = "hermit")]
pub use space::translate;
#[cfg(target_os = "hermit")]
pub(crate) use {
    device_memory::loaded,
    heap::{HEAP, account as heap_account},
    ram::{init, ram_ranges},
    space::{is_mapped, map_pmem, mode, pmem_window, protect, table_bytes, unmap_pmem, with_leaves, with_low_page},
    stack::{Stack, StackError, unused_bytes as unused_stack_bytes},
};
