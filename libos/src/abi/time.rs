//! Clocks and sleeping.

use core::time::Duration;

use hermit_abi::{CLOCK_MONOTONIC, CLOCK_REALTIME, timespec};

use super::errno::{Errno, result};
use crate::unix_time::UnixTime;
use crate::{task, time};

const NS_PER_SECOND: i128 = 1_000_000_000;

/// A span; none if it is negative.
pub(super) fn duration(span: &timespec) -> Duration {
    let total = i128::from(span.tv_sec) * NS_PER_SECOND + i128::from(span.tv_nsec);
    Duration::from_nanos(u64::try_from(total.max(0)).unwrap_or(u64::MAX))
}

/// A moment of the wall clock, as C has it.
pub(super) fn as_timespec(time: UnixTime) -> timespec {
    split(time.as_nanos())
}

/// Seconds and what is left of them. The quotient of nanoseconds in 64 bits and the remainder below 10^9 both fit.
fn split(nanoseconds: i128) -> timespec {
    timespec {
        tv_sec: nanoseconds.div_euclid(NS_PER_SECOND) as i64,
        tv_nsec: nanoseconds.rem_euclid(NS_PER_SECOND) as i32,
    }
}

/// Reads a clock.
///
/// # Safety
/// `out` is null or points to a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_clock_gettime(clock: i32, out: *mut timespec) -> i32 {
    let now = match clock {
        CLOCK_MONOTONIC => split(time::now().as_nanos().into()),
        CLOCK_REALTIME => as_timespec(time::wall_clock()),
        _ => return result(Err(Errno::EINVAL)),
    };
    // SAFETY: the caller's.
    let Some(out) = (unsafe { out.as_mut() }) else {
        return result(Err(Errno::EFAULT));
    };
    *out = now;
    0
}

/// Sleeps for at least this many microseconds.
#[unsafe(no_mangle)]
extern "C" fn sys_usleep(microseconds: u64) {
    task::sleep_until(time::now().saturating_add(Duration::from_micros(microseconds)));
}

/// Sleeps for at least this span.
///
/// # Safety
/// `span` is null or points to a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_nanosleep(span: *const timespec) -> i32 {
    // SAFETY: the caller's.
    let Some(span) = (unsafe { span.as_ref() }) else {
        return result(Err(Errno::EFAULT));
    };
    if span.tv_sec < 0 || !(0..1_000_000_000).contains(&span.tv_nsec) {
        return result(Err(Errno::EINVAL));
    }
    task::sleep_until(time::now().saturating_add(duration(span)));
    0
}
