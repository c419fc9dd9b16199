//! Waiting for many descriptors at once.
//!
//! A call looks at each descriptor once per round, without allocating: readiness is kept up to date in the object, so
//! a look is two loads. When to look, [`io::poll`] knows.

use core::slice;
use core::time::Duration;

use hermit_abi::pollfd;

use super::errno::{Errno, set_errno};
use super::fd::with_table;
use crate::io::{self, Ready};
use crate::time::now;

/// The most entries that one call may have.
const MAX_ENTRIES: usize = 65536;

/// Waits until a descriptor is ready, or for `timeout` milliseconds (negative: for ever). Returns the number of entries
/// that are ready, 0 after the timeout, and exactly -1 with errno on failure: `std` takes every other number for
/// success.
///
/// # Safety
/// `entries` points to `number` entries that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_poll(entries: *mut pollfd, number: usize, timeout: i32) -> i32 {
    let fault = entries.is_null() && number > 0;
    if fault || number > MAX_ENTRIES {
        set_errno(if fault { Errno::EFAULT } else { Errno::EINVAL });
        return -1;
    }
    let entries = match number {
        0 => &mut [],
        // SAFETY: the caller's.
        _ => unsafe { slice::from_raw_parts_mut(entries, number) },
    };
    let deadline = u64::try_from(timeout).ok().map(|ms| now().saturating_add(Duration::from_millis(ms)));
    io::poll(deadline, || look(entries)) as i32
}

/// Fills in what every entry is ready for; how many are ready for anything.
fn look(entries: &mut [pollfd]) -> usize {
    with_table(|table| {
        let mut ready = 0;
        for entry in entries {
            entry.revents = if entry.fd < 0 {
                0
            } else {
                let now = table.get(entry.fd).map_or(Ready::NVAL, |object| object.look(Ready::asked(entry.events)));
                now.answer(entry.events)
            };
            ready += usize::from(entry.revents != 0);
        }
        ready
    })
}
