//! The clocks: the wall's, and one that never goes back.

#[cfg(not(target_os = "hermit"))]
use std::sync::OnceLock;
#[cfg(not(target_os = "hermit"))]
use std::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A span in nanoseconds, in one word: each request adds some up. It reaches over 584 years.
pub type Nanos = u64;

/// A clock that never goes back: the time since some moment. A function, so that tests have a time of their own.
pub type Monotonic = fn() -> Duration;

/// Microseconds since 1970, 0 if the clock stands before that.
pub fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The time since the boot. Each request asks for it, and std's would be taken apart and put together on its way.
#[cfg(target_os = "hermit")]
pub fn monotonic() -> Duration {
    Duration::from_nanos(libos::time::now().as_nanos())
}

/// The time since somebody asked for it first.
#[cfg(not(target_os = "hermit"))]
pub fn monotonic() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
