//! Page faults: whose memory it was, and what happens then.

use x86_64::structures::idt::PageFaultErrorCode;

use super::device::{Device, devices};
use crate::arch::trap::TrapFrame;
use crate::cmdline::{self, FaultPolicy};
use crate::mm::attributes::key_number;
use crate::{fatal, mm, task};

/// Decides about a page fault at `address` (CR2).
pub(crate) fn page_fault(frame: &TrapFrame, address: u64) {
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
fn protection_fault(frame: &TrapFrame, address: u64, code: PageFaultErrorCode, device: &Device) {
    let offset = address.wrapping_sub(device.address_range().start);
    match cmdline::options().fault_policy {
        FaultPolicy::Strict => fatal::fault(
            fatal::PROTECTION_FAULT,
            frame,
            format_args!(
                "stray {} of {} at offset {offset:#x} (address {address:#018x}, key {}), policy strict: machine stopped",
                access_name(code),
                device.name(),
                device.key().unwrap_or(0),
            ),
        ),
    }
}
