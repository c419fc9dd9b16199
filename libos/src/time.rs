//! The clocks: the machine's own, and the wall clock derived from it.

use core::sync::atomic::{AtomicI64, Ordering};

pub use crate::instant::Instant;
use crate::unix_time::UnixTime;

/// Unix time at boot in nanoseconds; reaches to the year 2262.
static BOOT_UNIX_NS: AtomicI64 = AtomicI64::new(0);

/// This moment; never before one that was told earlier.
#[inline]
pub fn now() -> Instant {
    crate::arch::counter::now()
}

/// What the wall clock shows.
pub fn wall_clock() -> UnixTime {
    UnixTime::from_nanos(i128::from(BOOT_UNIX_NS.load(Ordering::Relaxed)) + i128::from(now().as_nanos()))
}

/// Says what the wall clock shows now.
pub fn set_wall_clock(time: UnixTime) {
    let at_boot = time.as_nanos() - i128::from(now().as_nanos());
    BOOT_UNIX_NS.store(at_boot.clamp(i64::MIN.into(), i64::MAX.into()) as i64, Ordering::Relaxed);
}
