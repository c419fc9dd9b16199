//! When something happened, for a price that every grant can pay: the time-stamp counter, read without a system call,
//! and put into nanoseconds since the boot only by who shows it.

use core::sync::atomic::{AtomicU64, Ordering};

/// The counter now. Linux keeps those of all CPUs in step.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
pub(crate) fn now() -> u64 {
    // SAFETY: every x86-64 CPU has it, and Linux lets programs read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Where nobody reports faults nobody asks.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
pub(crate) fn now() -> u64 {
    1
}

/// The counter and the clock at one moment, from which the counter's rate is taken.
static ORIGIN: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Remembers the counter and the clock: the earlier, the better the rate.
pub(crate) fn prepare() {
    let (ticks, nanoseconds) = (now(), clock());
    ORIGIN[0].store(ticks, Ordering::Relaxed);
    ORIGIN[1].store(nanoseconds, Ordering::Relaxed);
}

/// Nanoseconds since the boot.
fn clock() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in the time. Signal handlers may call it.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// What the counter's values mean.
pub(crate) struct Scale {
    ticks: [u64; 2],
    nanoseconds: [u64; 2],
}

impl Scale {
    /// By what has gone by since [`prepare`].
    pub(crate) fn now() -> Self {
        let [ticks, nanoseconds] = ORIGIN.each_ref().map(|origin| origin.load(Ordering::Relaxed));
        Self { ticks: [ticks, now()], nanoseconds: [nanoseconds, clock()] }
    }

    /// When the counter had this value, in nanoseconds since the boot.
    pub(crate) fn nanoseconds(&self, at: u64) -> u64 {
        let before = |[from, to]: [u64; 2]| u128::from(to.saturating_sub(from));
        let back = u128::from(self.ticks[1].saturating_sub(at)) * before(self.nanoseconds);
        let back = back.checked_div(before(self.ticks)).unwrap_or(0);
        self.nanoseconds[1].saturating_sub(u64::try_from(back).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_leads_from_ticks_to_nanoseconds() {
        let scale = Scale { ticks: [1_000, 7_000], nanoseconds: [50_000, 52_000] };
        assert_eq!([1_000, 4_000, 7_000].map(|ticks| scale.nanoseconds(ticks)), [50_000, 51_000, 52_000]);
        // Another CPU's counter may be a little ahead.
        assert_eq!(scale.nanoseconds(7_001), 52_000);
    }

    #[test]
    fn without_a_span_everything_is_now() {
        let scale = Scale { ticks: [5, 5], nanoseconds: [9, 9] };
        assert_eq!(scale.nanoseconds(3), 9);
    }
}
