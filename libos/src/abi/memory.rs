//! Allocation, all of it from the one heap.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use crate::mm::HEAP;

/// Allocates `size` bytes; null on failure or for an alignment that is not a power of two.
#[unsafe(no_mangle)]
extern "C" fn sys_malloc(size: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(size.max(1), align) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) => unsafe { HEAP.alloc(layout) },
        Err(_) => ptr::null_mut(),
    }
}

/// As `sys_malloc`; the libc crate's name for it.
#[unsafe(no_mangle)]
extern "C" fn sys_alloc(size: usize, align: usize) -> *mut u8 {
    sys_malloc(size, align)
}

/// As `sys_malloc`, zeroed.
#[unsafe(no_mangle)]
extern "C" fn sys_alloc_zeroed(size: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(size.max(1), align) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) => unsafe { HEAP.alloc_zeroed(layout) },
        Err(_) => ptr::null_mut(),
    }
}

/// Changes the size of an allocation; null on failure, and the old one is intact then.
///
/// # Safety
/// `pointer` was allocated here with this size and alignment and is not used afterwards if the result is not null.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_realloc(pointer: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    match Layout::from_size_align(size.max(1), align) {
        // SAFETY: the caller says that `pointer` has this layout; the new size is not zero.
        Ok(layout) => unsafe { HEAP.realloc(pointer, layout, new_size.max(1)) },
        Err(_) => ptr::null_mut(),
    }
}

/// Frees an allocation.
///
/// # Safety
/// `pointer` was allocated here with this size and alignment and is not used afterwards.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_free(pointer: *mut u8, size: usize, align: usize) {
    if let Ok(layout) = Layout::from_size_align(size.max(1), align) {
        // SAFETY: the caller says that `pointer` has this layout.
        unsafe { HEAP.dealloc(pointer, layout) };
    }
}

/// As `sys_free`; the libc crate's name for it.
///
/// # Safety
/// As `sys_free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_dealloc(pointer: *mut u8, size: usize, align: usize) {
    // SAFETY: the caller's.
    unsafe { sys_free(pointer, size, align) };
}
