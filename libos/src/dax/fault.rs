//! Page faults: whose memory it was, and what happens then.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::structures::idt::PageFaultErrorCode;

use super::device::{Device, devices};
use super::rights::Access;
use crate::arch::single_step;
use crate::arch::trap::TrapFrame;
use crate::cmdline::{self, FaultPolicy};
use crate::mm::attributes::key_number;
use crate::{fatal, mm, task};

/// Decides about a page fault at `address` (CR2).
pub(crate) fn page_fault(frame: &mut TrapFrame, address: u64) {
    let code = PageFaultErrorCode::from_bits_truncate(frame.error_code);
    if code.contains(PageFaultErrorCode::PROTECTION_KEY)
        && let Some(device) = device_of_key(address)
    {
        return protection_fault(frame, address, code, device);
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

/// The hardware does not say which key denied the access: the leaf that maps the address does.
fn device_of_key(address: u64) -> Option<&'static Device> {
    let leaf = mm::translate(address)?;
    let key = key_number(leaf.flags);
    devices().iter().find(|device| device.key() == Some(key))
}

/// A stray access to a device: a report that names the place and the culprit, then what the policy says.
fn protection_fault(frame: &mut TrapFrame, address: u64, code: PageFaultErrorCode, device: &Device) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let policy = cmdline::options().fault_policy;
    let outcome = match policy {
        FaultPolicy::Strict => "strict: machine stopped",
        FaultPolicy::Relaxed => "relaxed: let through once, reported once for this place in the code",
    };
    let what = format_args!(
        "stray {} of {} at offset {:#x} (address {address:#018x}, key {}), policy {outcome}",
        access_name(code),
        device.name(),
        address.wrapping_sub(device.address_range().start),
        device.key().unwrap_or(0),
    );
    match (policy, device.protection_key()) {
        (FaultPolicy::Relaxed, Some(key)) => {
            let write = code.contains(PageFaultErrorCode::CAUSED_BY_WRITE);
            let access = if write { Access::Write } else { Access::Read };
            if first_report_for(frame.rip) {
                fatal::report(frame, what);
            }
            if !single_step::open_for_one_instruction(frame, |rights| rights.with(key, access)) {
                fatal::fault(fatal::PROTECTION_FAULT, frame, what);
            }
        }
        _ => fatal::fault(fatal::PROTECTION_FAULT, frame, what),
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
