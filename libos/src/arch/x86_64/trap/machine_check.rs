//! Machine checks: an unreadable place in persistent memory is noted, and everything else stops the machine.
//!
//! What the registers of a bank mean is decided by [`crate::arch::x86_64::format::bank`], without a machine. Here it is
//! acted upon, and an instruction that would consume the error again and again is left: the copy functions of
//! persistent memory can be left in the middle, for their callers look at what they return.

use core::sync::atomic::{AtomicU64, Ordering};

use super::frame::TrapFrame;
use super::hooks::hooks;
use super::interrupted;
use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::x86_64::format::bank::Verdict;
use crate::arch::x86_64::machine::{machine_check, percpu};

/// Handles a machine check: the interrupted context goes on only if all that has happened is that persistent memory has
/// become unreadable somewhere.
pub(super) fn handle(frame: &mut TrapFrame) {
    match contain(frame) {
        Ok(()) => {}
        Err(reason) => (hooks().failure)(frame, format_args!("#MC machine check (vector 18): {reason}")),
    }
}

fn contain(frame: &mut TrapFrame) -> Result<(), &'static str> {
    if !machine_check::is_restartable() {
        return Err("the interrupted program cannot be restarted");
    }
    if !machine_check::recovers_in_software() {
        return Err("this processor does not say what can be recovered from");
    }
    if percpu::in_nmi() {
        return Err("it came in the handler of a non-maskable interrupt, which nothing can return to");
    }
    let mut consumed = None;
    for found in machine_check::errors() {
        match found.verdict() {
            Verdict::Nothing => {}
            Verdict::Unreadable(range) => {
                (hooks().unreadable)(&range)?;
                if found.is_consumed() {
                    consumed = Some(range.start);
                }
            }
            Verdict::Stop(reason) => return Err(reason),
        }
    }
    if let Some(place) = consumed
        && !interrupted::leave_copy(frame, hooks().is_persistent)
        && !is_progress(frame.rip, place)
    {
        return Err("the same instruction consumes it again and again");
    }
    machine_check::clear();
    Ok(())
}

/// Whether a program that consumed an error and is to go on as it was gets anywhere: not if it has consumed the same
/// one at the same instruction several times in a row.
fn is_progress(rip: VirtAddr, place: PhysAddr) -> bool {
    const MOST: u64 = 16;
    static RIP: AtomicU64 = AtomicU64::new(0);
    static PLACE: AtomicU64 = AtomicU64::new(0);
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let same = RIP.swap(rip.as_u64(), Ordering::Relaxed) == rip.as_u64()
        && PLACE.swap(place.as_u64(), Ordering::Relaxed) == place.as_u64();
    if !same {
        TIMES.store(0, Ordering::Relaxed);
    }
    TIMES.fetch_add(1, Ordering::Relaxed) < MOST
}
