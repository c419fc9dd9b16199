//! Stacks for signal handlers, each above closed bytes. Threads that have none get one: with its stack pointer gone
//! astray, such a thread would be ended by the kernel before any handler could say why.
//!
//! `std` gives one to its own threads. What other libraries start gets one with its first grant.

use std::ffi::c_void;
use std::{io, mem, ptr};

/// How large a thread's is: for the frame of a signal, with all vector registers, and a handler's own frames.
const SIZE: usize = 64 << 10;
/// How much below a stack is never mapped to anything.
pub(crate) const GUARD: usize = 4 << 10;

/// Maps a stack of `size` bytes, with [`GUARD`] closed bytes below it; where those begin. The system gives pages to it
/// as they are touched.
pub(crate) fn map(size: usize) -> io::Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new map, which is in nobody's way; its upper part becomes usable before anybody has it.
    unsafe {
        let bottom = libc::mmap(ptr::null_mut(), GUARD + size, libc::PROT_NONE, flags, -1, 0);
        if bottom == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        if libc::mprotect(bottom.add(GUARD), size, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            let error = io::Error::last_os_error();
            libc::munmap(bottom, GUARD + size);
            return Err(error);
        }
        Ok(bottom)
    }
}

thread_local! {
    static STACK: Stack = Stack::new();
}

/// Sees to it that the running thread has an alternate stack. Not for signal handlers.
#[cold]
pub(crate) fn ensure() {
    // A thread that is about to end has had its own, and does without.
    let _ = STACK.try_with(|_| ());
}

/// A stack that this crate has given to a thread, until it ends; null if it has one from elsewhere.
struct Stack(*mut c_void);

impl Stack {
    fn new() -> Self {
        let none = Self(ptr::null_mut());
        // SAFETY: zeros are a description of a stack; the kernel fills it in.
        let now = unsafe {
            let mut now: libc::stack_t = mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut now);
            now
        };
        if now.ss_flags & libc::SS_DISABLE == 0 {
            return none;
        }
        let Ok(bottom) = map(SIZE) else { return none };
        // SAFETY: the map was made above, of a closed part and the stack. Nobody else has it.
        unsafe {
            let stack = libc::stack_t { ss_sp: bottom.add(GUARD), ss_flags: 0, ss_size: SIZE };
            if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
                libc::munmap(bottom, GUARD + SIZE);
                return none;
            }
        }
        Self(bottom)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.0.is_null() {
            return;
        }
        let disabled = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the map is this one's, and the thread has it no longer. It is no handler that ends a thread.
        unsafe {
            if libc::sigaltstack(&disabled, ptr::null_mut()) == 0 {
                libc::munmap(self.0, GUARD + SIZE);
            }
        }
    }
}
