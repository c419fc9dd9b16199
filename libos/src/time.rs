//! Time: nanoseconds since boot, and the wall clock derived from it.

use core::sync::atomic::{AtomicI64, Ordering};

/// Unix time at boot in nanoseconds; reaches to the year 2262.
static BOOT_UNIX_NS: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds since boot; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    crate::arch::counter::nanoseconds()
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
pub fn unix_ns() -> i128 {
    i128::from(BOOT_UNIX_NS.load(Ordering::Relaxed)) + i128::from(now_ns())
}

/// Says what the wall clock shows now, in nanoseconds since 1970-01-01 00:00 UTC.
pub fn set_wall_clock(unix_ns: i128) {
    let at_boot = unix_ns - i128::from(now_ns());
    BOOT_UNIX_NS.store(at_boot.clamp(i64::MIN.into(), i64::MAX.into()) as i64, Ordering::Relaxed);
}
