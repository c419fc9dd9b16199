//! The program as a whole: its end, its identity, and random numbers for it.

use core::slice;

use super::errno::{Errno, result};
use crate::drivers::entropy;
use crate::{report, start};

/// Ends the program and the machine with this status.
#[unsafe(no_mangle)]
extern "C" fn sys_exit(status: i32) -> ! {
    start::shut_down(status)
}

/// Ends the program after a failure that it has reported.
#[unsafe(no_mangle)]
extern "C" fn sys_abort() -> ! {
    report::abort()
}

/// The number of the only process.
#[unsafe(no_mangle)]
extern "C" fn sys_getpid() -> i32 {
    1
}

/// Fills the buffer with random bytes; how many (all of them), or a negative error number.
///
/// # Safety
/// `buffer` points to `length` writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_read_entropy(buffer: *mut u8, length: usize, flags: u32) -> isize {
    // No flag has a meaning.
    if flags != 0 {
        return result::<i32>(Err(Errno::EINVAL)) as isize;
    }
    if buffer.is_null() && length != 0 {
        return result::<i32>(Err(Errno::EFAULT)) as isize;
    }
    // A whole reply at once, but no more than the return value can say.
    let length = length.min(isize::MAX as usize);
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller's; the memory is only written.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer, length) };
    entropy::fill(bytes);
    length as isize
}
