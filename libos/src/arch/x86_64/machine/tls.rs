//! What is where in a block of thread-local storage (x86-64 ELF TLS, variant II): the image's template below the thread
//! pointer, and at the thread pointer a word that holds its own address.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

/// The alignment of a block; the linker script aligns the template to it.
const ALIGN: usize = 64;

/// The block for a template that needs `size` bytes; `None` if there can be no such block.
pub(crate) fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(thread_pointer_offset(size) + size_of::<u64>(), ALIGN).ok()
}

fn thread_pointer_offset(size: usize) -> usize {
    size.next_multiple_of(ALIGN)
}

/// Puts the template's `file_size` bytes that are not zero into a block; the block's thread pointer.
///
/// # Safety
/// The block is zeroed, nobody else's, and has the [`layout`] for `size`, which is not less than `file_size`; as many
/// bytes can be read at `template`.
pub(crate) unsafe fn fill(block: NonNull<u8>, size: usize, template: *const u8, file_size: usize) -> u64 {
    let thread_pointer = block.as_ptr().wrapping_add(thread_pointer_offset(size));
    // SAFETY: the block has room for the template and, at the thread pointer, for one aligned word; the rest is the
    // caller's.
    unsafe {
        ptr::copy_nonoverlapping(template, block.as_ptr(), file_size);
        thread_pointer.cast::<u64>().write(thread_pointer.addr() as u64);
    }
    thread_pointer.addr() as u64
}
