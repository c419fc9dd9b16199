//! Thread-local storage blocks, one for each thread, with a copy of the image's template.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use super::std_name;
use crate::arch::tls;

unsafe extern "C" {
    static tls_start: u8;
    static tls_file_end: u8;
    static tls_memory_size: u8;
}

/// One thread's block.
#[derive(Debug)]
pub(super) struct Tls {
    block: NonNull<u8>,
    layout: Layout,
    thread_pointer: u64,
}

// SAFETY: the block is memory of the thread that it was made for; this value only frees it.
unsafe impl Send for Tls {}
// SAFETY: a shared reference gives nothing but the address.
unsafe impl Sync for Tls {}

impl Tls {
    /// A block with the image's initial values; `None` when memory is full.
    pub(super) fn new() -> Option<Self> {
        let template = &raw const tls_start;
        let file_size = (&raw const tls_file_end).addr() - template.addr();
        // The symbol's address is the size.
        let size = (&raw const tls_memory_size).addr();
        let layout = tls::layout(size)?;
        // SAFETY: the layout is not of size zero.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: the block has this layout and is zeroed, and the linker script puts `file_size` bytes at `tls_start`.
        let thread_pointer = unsafe { tls::fill(block, size, template, file_size) };
        Some(Self { block, layout, thread_pointer })
    }

    /// Runs `work` with the name that `std` knows for the thread of this block, which is the running one.
    pub(super) fn with_std_name<R>(&self, work: impl FnOnce(Option<&str>) -> R) -> R {
        std_name::with(self.block, self.thread_pointer, work)
    }

    /// The thread pointer while the thread runs.
    pub(super) fn thread_pointer(&self) -> u64 {
        self.thread_pointer
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the thread has ended.
        unsafe { dealloc(self.block.as_ptr(), self.layout) };
    }
}
