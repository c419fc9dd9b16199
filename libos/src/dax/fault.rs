//! Page faults: whose memory it was, and what happens then.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::structures::idt::PageFaultErrorCode;

use super::handler::{self, Fault, FaultAction};
use super::policy::{FaultPolicy, fault_policy};
use crate::arch::single_step;
use crate::arch::trap::TrapFrame;
use crate::{fatal, task};

/// Decides about a page fault at `address` (CR2).
pub(crate) fn page_fault(frame: &mut TrapFrame, address: u64) {
    let code = PageFaultErrorCode::from_bits_truncate(frame.error_code);
    if code.contains(PageFaultErrorCode::PROTECTION_KEY)
        && let Some(device) = handler::owner_of_address(address)
    {
        let write = code.contains(PageFaultErrorCode::CAUSED_BY_WRITE);
        return protection_fault(Fault::new(frame, device, address, write));
    }
    let access = access_name(code);
    if task::current_ref().is_some_and(|thread| thread.stack_guards(address)) {
        let what = format_args!("stack overflow: {access} of {address:#018x}, below the thread's stack");
        fatal::fault(fatal::FATAL_EXCEPTION, frame, what);
    }
    let reason = if code.contains(PageFaultErrorCode::PROTECTION_VIOLATION) {
        "not permitted there"
    } else {
        "nothing is mapped there"
    };
    fatal::fault(fatal::FATAL_EXCEPTION, frame, format_args!("#PF page fault: {access} of {address:#018x}, {reason}"))
}

fn access_name(code: PageFaultErrorCode) -> &'static str {
    if code.contains(PageFaultErrorCode::INSTRUCTION_FETCH) {
        "execution"
    } else if code.contains(PageFaultErrorCode::CAUSED_BY_WRITE) {
        "write"
    } else {
        "read"
    }
}

/// A stray access to a device: its handler, if it has one, then a report that names the place and the culprit, and what the
/// policy says.
fn protection_fault(mut fault: Fault<'_>) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let device = fault.device();
    let retried = device.fault_handler().is_some_and(|handler| handler(&mut fault) == FaultAction::Retry);
    if retried && fault.is_permitted() {
        return;
    }
    let note = if retried { "; its handler asked to try again but has changed nothing" } else { "" };
    let (address, key, access) = (fault.address(), device.key().unwrap_or(0), fault.wanted());
    let (name, offset, kind) = (device.name(), fault.offset(), if fault.is_write() { "write" } else { "read" });
    let report = |frame: &TrapFrame, end: bool, outcome: &str| {
        let policy = fault_policy();
        let what = format_args!(
            "stray {kind} of {name} at offset {offset:#x} (address {address:#018x}, key {key}), policy {policy}: \
             {outcome}{note}"
        );
        if end { fatal::fault(fatal::PROTECTION_FAULT, frame, what) } else { fatal::report(frame, what) }
    };
    let frame = fault.frame();
    match (fault_policy(), device.protection_key()) {
        (FaultPolicy::Relaxed, Some(key)) => {
            if first_report_for(frame.rip) {
                report(frame, false, "let through once, reported once for this place in the code");
            }
            if !single_step::open_for_one_instruction(frame, |rights| rights.with(key, access)) {
                report(frame, true, "machine stopped, since the interrupts are nested too deeply to let it through");
            }
        }
        _ => report(frame, true, "machine stopped"),
    }
}

/// How many stray accesses there were since boot. More than one only under the relaxed policy.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// How many stray accesses to persistent memory there were since boot.
pub fn fault_count() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// The places in the code that were reported. When it is full, further places are reported each time.
static REPORTED: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];

/// Whether this place in the code was not reported before; from now on it was.
fn first_report_for(rip: u64) -> bool {
    for place in &REPORTED {
        match place.compare_exchange(0, rip, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(known) if known == rip => return false,
            Err(_) => {}
        }
    }
    true
}
