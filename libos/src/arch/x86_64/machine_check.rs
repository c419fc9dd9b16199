//! Machine checks: an unreadable place in persistent memory is noted, and everything else stops the machine.
//!
//! What the registers of a bank mean is decided by [`crate::arch::bank`], without a machine. Here they are read and
//! cleared, and an instruction that would consume the error again and again is left: the copy functions of persistent
//! memory can be left in the middle, for their callers look at what they return.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::model_specific::Msr;

use super::hooks::hooks;
use super::trap::TrapFrame;
use super::{memory_functions, trap};
use crate::arch::bank::{Bank, Verdict};

const IA32_MCG_CAP: u32 = 0x179;
const IA32_MCG_STATUS: u32 = 0x17a;
const IA32_MCG_CTL: u32 = 0x17b;
const IA32_MC0_CTL: u32 = 0x400;

/// IA32_MCG_CAP: how many banks there are.
const BANKS: u64 = 0xff;
/// IA32_MCG_CAP: IA32_MCG_CTL is there.
const HAS_CONTROL: u64 = 1 << 8;
/// IA32_MCG_CAP: the status of a bank says what software can recover from.
const SOFTWARE_RECOVERY: u64 = 1 << 24;
/// IA32_MCG_STATUS: the interrupted context can be restarted.
const RESTARTABLE: u64 = 1 << 0;

fn read(register: u32) -> u64 {
    // SAFETY: reading a machine-check register changes nothing. Callers name only those that IA32_MCG_CAP says are
    // there, and that one is there on every CPU that can raise the exception.
    unsafe { Msr::new(register).read() }
}

/// The registers of a bank: control, status, address and misc, one after the other.
fn bank_register(bank: u32, register: u32) -> u32 {
    IA32_MC0_CTL + 4 * bank + register
}

fn banks() -> u32 {
    (read(IA32_MCG_CAP) & BANKS) as u32
}

/// Lets every bank report what it finds.
///
/// # Safety
/// The CPU has the machine-check architecture (CPUID.1:EDX.MCA), and its handler is in place or stops the machine.
pub(super) unsafe fn enable() {
    // SAFETY: all ones enable every kind of report (SDM volume 3B, section 16.3); the registers exist, as IA32_MCG_CAP
    // says.
    unsafe {
        if read(IA32_MCG_CAP) & HAS_CONTROL != 0 {
            Msr::new(IA32_MCG_CTL).write(u64::MAX);
        }
        for bank in 0..banks() {
            Msr::new(bank_register(bank, 0)).write(u64::MAX);
        }
    }
}

/// Handles a machine check: the interrupted context goes on only if all that has happened is that persistent memory has
/// become unreadable somewhere.
pub(super) fn handle(frame: &mut TrapFrame) {
    match contain(frame) {
        Ok(()) => {}
        Err(reason) => (hooks().failure)(frame, format_args!("#MC machine check (vector 18): {reason}")),
    }
}

fn contain(frame: &mut TrapFrame) -> Result<(), &'static str> {
    if read(IA32_MCG_STATUS) & RESTARTABLE == 0 {
        return Err("the interrupted program cannot be restarted");
    }
    if read(IA32_MCG_CAP) & SOFTWARE_RECOVERY == 0 {
        return Err("this processor does not say what can be recovered from");
    }
    if trap::in_nmi() {
        return Err("it came in the handler of a non-maskable interrupt, which nothing can return to");
    }
    let mut consumed = None;
    for bank in 0..banks() {
        let status = read(bank_register(bank, 1));
        let found = Bank { status, address: 0, misc: 0 };
        if !found.is_valid() {
            continue;
        }
        // A bank that says nothing of its place need not have these registers.
        let has = |bit: u32| status >> bit & 1 != 0;
        let address = if has(58) { read(bank_register(bank, 2)) } else { 0 };
        let misc = if has(59) { read(bank_register(bank, 3)) } else { 0 };
        let found = Bank { address, misc, ..found };
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
        && !memory_functions::leave(frame, hooks().is_persistent)
        && !is_progress(frame.rip, place)
    {
        return Err("the same instruction consumes it again and again");
    }
    for bank in 0..banks() {
        // SAFETY: writing 0 is how a bank's status is cleared; the bank exists.
        unsafe { Msr::new(bank_register(bank, 1)).write(0) };
    }
    // SAFETY: clears MCIP, so that the next machine check is one and not a shutdown; the handling of this one is done.
    unsafe { Msr::new(IA32_MCG_STATUS).write(0) };
    Ok(())
}

/// Whether a program that consumed an error and is to go on as it was gets anywhere: not if it has consumed the same
/// one at the same instruction several times in a row.
fn is_progress(rip: u64, place: u64) -> bool {
    const MOST: u64 = 16;
    static RIP: AtomicU64 = AtomicU64::new(0);
    static PLACE: AtomicU64 = AtomicU64::new(0);
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let same = RIP.swap(rip, Ordering::Relaxed) == rip && PLACE.swap(place, Ordering::Relaxed) == place;
    if !same {
        TIMES.store(0, Ordering::Relaxed);
    }
    TIMES.fetch_add(1, Ordering::Relaxed) < MOST
}
