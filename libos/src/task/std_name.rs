//! The names that `std` gives to its threads. It passes none to the operating system on this target.
//!
//! The one place where this library knows something of the inside of `std`. `std` keeps a thread's handle,
//! which has the name, in the thread-local variable `std::thread::current::CURRENT`, and `thread::current` clones it.
//! But where there is none yet, as on a thread that a program started past `std` by `sys_spawn2`, it makes one, and
//! allocates; and where it has been dropped it panics. A report may ask in the middle of anything, such as of the
//! allocator: so the variable is looked at first. The linker script says where it is in a thread's block, and how
//! large. Where another `std` has no single word under this name, reports name threads by what the library calls them,
//! and the test `a_stack_overflow_is_reported_with_its_thread` fails. `xtask/gdb/holdfast.py` reads it too.

extern crate std;

use core::ptr;

use crate::arch::cpu;

unsafe extern "C" {
    static std_thread_handle_offset: u8;
    static std_thread_handle_size: u8;
}

/// What the variable says where there is no handle: none yet, one that is being made, and one that was dropped
/// (`NONE`, `BUSY` and `DESTROYED` in std's `thread/current.rs`).
const LAST_WITHOUT_HANDLE: u64 = 2;

/// Runs `work` with the running thread's name as `std` knows it, if it does. `block` is that thread's block of
/// thread-local storage, and `thread_pointer` what belongs to the block. Reads memory and counts a reference, nothing
/// else; so it may be called in any place, also by the handler of an exception or an interrupt.
pub(super) fn with<R>(block: ptr::NonNull<u8>, thread_pointer: u64, work: impl FnOnce(Option<&str>) -> R) -> R {
    // The symbols' addresses are the size and the offset.
    if (&raw const std_thread_handle_size).addr() != size_of::<u64>() {
        return work(None);
    }
    let offset = (&raw const std_thread_handle_offset).addr();
    // SAFETY: the variable is a word of every block, which lives as long as its thread. Only the thread itself changes
    // it, and this is the thread or a handler that has interrupted it.
    let handle = unsafe { ptr::read_volatile(block.as_ptr().wrapping_add(offset).cast::<u64>()) };
    // In the middle of a switch between threads, `std` would look into the other one's block.
    if handle <= LAST_WITHOUT_HANDLE || cpu::thread_pointer() != thread_pointer {
        return work(None);
    }
    // There is a handle, to which the variable keeps a reference: it is neither made nor freed here.
    work(std::thread::current().name())
}
