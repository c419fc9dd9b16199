//! The time-stamp counter and what it tells of time.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::instant::Instant;

/// The counter's value when time began.
static EPOCH: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per count, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// The counter.
#[inline]
pub fn read() -> u64 {
    // SAFETY: RDTSC is available in ring 0 always.
    unsafe { _rdtsc() }
}

/// Takes the counter as the clock from `epoch` on, when it was read.
pub(super) fn set_frequency(frequency: u64, epoch: u64) {
    SCALE.store(((1_000_000_000u128 << 32) / u128::from(frequency.max(1))) as u64, Ordering::Relaxed);
    EPOCH.store(epoch, Ordering::Relaxed);
}

/// The counter's frequency in Hz, where CPUID leaf 15H says it.
pub(super) fn frequency_by_cpuid() -> Option<u64> {
    if __cpuid(0).eax < 0x15 {
        return None;
    }
    let leaf = __cpuid_count(0x15, 0);
    let frequency = u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax).max(1);
    (frequency != 0).then_some(frequency)
}

/// Nanoseconds per count, times 2^32; 0 before the counter's frequency is known.
pub(crate) fn scale() -> u64 {
    SCALE.load(Ordering::Relaxed)
}

/// The time from the machine's reset, when the counter was 0, to this value; 0 before the counter's frequency is known.
#[inline]
pub fn to_nanoseconds(count: u64) -> u64 {
    ((u128::from(count) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32) as u64
}

/// This moment; [`Instant::BOOT`] before the counter's frequency is known.
#[inline]
pub fn now() -> Instant {
    Instant::from_nanos(to_nanoseconds(read().saturating_sub(EPOCH.load(Ordering::Relaxed))))
}

/// The counter's value at this moment.
pub(super) fn at(moment: Instant) -> u64 {
    let counts = (u128::from(moment.as_nanos()) << 32) / u128::from(SCALE.load(Ordering::Relaxed).max(1));
    EPOCH.load(Ordering::Relaxed).saturating_add(counts as u64)
}
