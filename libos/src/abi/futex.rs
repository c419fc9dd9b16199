//! Futexes.

use core::sync::atomic::AtomicU32;

use hermit_abi::{FUTEX_RELATIVE_TIMEOUT, timespec};

use super::errno::Errno;
use crate::task::{self, FutexError};
use crate::time::{self, Instant};

/// Waits for a wake on `address` if the word there is `expected`: 0 after a wake, -EAGAIN if the word differs,
/// -ETIMEDOUT.
///
/// # Safety
/// `address` is an aligned word that lives while the call lasts; `timeout` is null or points to a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_futex_wait(address: *mut u32, expected: u32, timeout: *const timespec, flags: u32) -> i32 {
    // Nothing here goes through `result`: the outcome of a wait is no error of the thread, and `std` compares the value
    // alone.
    if address.is_null() || !address.is_aligned() {
        return -Errno::EINVAL.number();
    }
    // SAFETY: the caller's.
    let deadline = unsafe { timeout.as_ref() }.map(|timeout| {
        let span = super::time::duration(timeout);
        let from = if flags & FUTEX_RELATIVE_TIMEOUT != 0 { time::now() } else { Instant::BOOT };
        from.saturating_add(span)
    });
    // SAFETY: the caller's: an aligned word that outlives the call.
    let word = unsafe { AtomicU32::from_ptr(address) };
    match task::futex_wait(word, expected, deadline) {
        Ok(()) => 0,
        Err(FutexError::ValueDiffers) => -Errno::EAGAIN.number(),
        Err(FutexError::TimedOut) => -Errno::ETIMEDOUT.number(),
    }
}

/// Wakes up to `count` threads that wait for `address`; how many. The word itself is not touched: it may be gone.
#[unsafe(no_mangle)]
extern "C" fn sys_futex_wake(address: *mut u32, count: i32) -> i32 {
    let count = usize::try_from(count).unwrap_or(0);
    i32::try_from(task::futex_wake(address.addr(), count)).unwrap_or(i32::MAX)
}
