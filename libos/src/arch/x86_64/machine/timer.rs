//! This CPU's timer: one interrupt at a time of the caller's choice.

use super::{apic, tsc};

/// Raises the timer interrupt at `deadline`, in nanoseconds since boot, or as soon as possible if that has passed. It
/// may come earlier when the deadline is far. Replaces an earlier deadline.
pub fn arm(deadline: u64) {
    apic::arm_timer(tsc::at_nanoseconds(deadline), deadline.saturating_sub(tsc::nanoseconds()));
}

/// Cancels the timer.
pub fn disarm() {
    apic::disarm_timer();
}
