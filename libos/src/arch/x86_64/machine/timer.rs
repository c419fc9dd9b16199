//! This CPU's timer: one interrupt at a time of the caller's choice.

use super::{apic, tsc};
use crate::instant::Instant;

/// Raises the timer interrupt at `deadline`, or as soon as possible if that has passed. It may come earlier when the
/// deadline is far. Replaces an earlier deadline.
pub fn arm(deadline: Instant) {
    apic::arm_timer(tsc::at(deadline), deadline.as_nanos().saturating_sub(tsc::now().as_nanos()));
}
