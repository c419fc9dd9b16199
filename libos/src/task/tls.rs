//! Thread-local storage blocks (x86-64 ELF TLS, variant II): the image's template below the thread pointer, and at the
//! thread pointer a word that holds its own address.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::std_name;

unsafe extern "C" {
    static tls_start: u8;
    static tls_file_end: u8;
    static tls_memory_size: u8;
}

/// The alignment of a block; the linker script aligns the template to it.
const ALIGN: usize = 64;

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
        let size = (&raw const tls_memory_size).addr().next_multiple_of(ALIGN);
        let layout = Layout::from_size_align(size + size_of::<u64>(), ALIGN).ok()?;
        // SAFETY: the layout is not of size zero.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let thread_pointer = block.as_ptr().wrapping_add(size);
        // SAFETY: the linker script puts the template's `file_size` bytes at `tls_start`; the block has room for them
        // and, at the thread pointer, for one aligned word.
        unsafe {
            ptr::copy_nonoverlapping(template, block.as_ptr(), file_size);
            thread_pointer.cast::<u64>().write(thread_pointer.addr() as u64);
        }
        Some(Self { block, layout, thread_pointer: thread_pointer.addr() as u64 })
    }

    /// Runs `work` with the name that `std` knows for the thread of this block, which is the running one.
    pub(super) fn with_std_name<R>(&self, work: impl FnOnce(Option<&str>) -> R) -> R {
        std_name::with(self.block, self.thread_pointer, work)
    }

    /// The value of FS base while the thread runs.
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
