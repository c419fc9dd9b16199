//! Page faults in persistent memory: whose it was, and what happens then.
//!
//! Which policies there are is in `libos_contract::policy`; which of them is in force, in `policy`.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use libos_contract::exit::PROTECTION_FAULT;
use libos_contract::report::{self as said, Consequence, Denial, Places};

use super::device::{Device, device_at};
use super::handler::{Fault, FaultAction};
use super::owners;
use super::policy::fault_policy;
use super::record;
use crate::addr::VirtAddr;
use crate::arch::PageFault;
use crate::arch::single_step::CannotStep;
use crate::arch::trap::TrapFrame;
use crate::arch::{interrupted, percpu, single_step};
use crate::keys::{Access, FaultPolicy};
use crate::{report, task};

/// Decides about a page fault in persistent memory; false if it was elsewhere.
pub(crate) fn page_fault(frame: &mut TrapFrame, fault: PageFault) -> bool {
    let PageFault { address, .. } = fault;
    if fault.is_by_key()
        && let Some(device) = owners::owner_of_address(address)
    {
        protection_fault(Fault::new(frame, device, address, fault.is_write()));
    } else if let Some(device) = device_at(address) {
        page_denied(frame, device, address, fault.access());
    } else {
        return false;
    }
    true
}

/// A stray access to a device: its handler, if it has one, then a report that names the place and the culprit, and what
/// the policy says.
fn protection_fault(mut fault: Fault<'_>) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    trace(fault.is_write(), fault.address());
    let final_here = percpu::in_nmi();
    let handler = if final_here { None } else { fault.device().fault_handler() };
    let retried = handler.is_some_and(|handler| handler(&mut fault) == FaultAction::Retry);
    if retried && fault.is_permitted() {
        return;
    }
    let policy = fault_policy();
    let stray = Stray {
        access: fault.wanted(),
        device: fault.device(),
        said: said::Stray {
            kind: if fault.is_write() { "write" } else { "read" },
            device: fault.device().name(),
            offset: fault.offset(),
            address: fault.address().as_u64(),
            key: fault.device().key().unwrap_or(0),
            denial: Denial::Key,
            length: interrupted::remaining(fault.frame(), fault.address(), fault.is_write()),
            retried,
            policy,
        },
    };
    let frame = fault.into_frame();
    match policy {
        _ if final_here => stray.stop(frame, Some(&"an NMI handler did it, where every fault is final")),
        FaultPolicy::Strict => stray.stop(frame, None),
        FaultPolicy::EndThread => stray.end_thread(frame),
        FaultPolicy::Relaxed => stray.let_through(frame),
    }
}

/// An access that the page's own permissions deny, whatever rights its context has: a store to a part of a device that
/// is write-protected, a jump into a device, or anything in the window of a device that has gone away. No right would
/// permit it, so it is let through under no policy.
fn page_denied(frame: &mut TrapFrame, device: &'static Device, address: VirtAddr, kind: &'static str) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let policy = fault_policy();
    let write = kind == "write";
    trace(write, address);
    let stray = Stray {
        access: if write { Access::Write } else { Access::Read },
        device,
        said: said::Stray {
            kind,
            device: device.name(),
            offset: address - device.address_range().start,
            address: address.as_u64(),
            key: device.key().unwrap_or(0),
            denial: if !device.is_mapped() {
                Denial::Gone
            } else if write {
                Denial::WriteProtected
            } else {
                Denial::NotExecutable
            },
            length: interrupted::remaining(frame, address, write),
            retried: false,
            policy,
        },
    };
    match policy {
        _ if percpu::in_nmi() => stray.stop(frame, Some(&"an NMI handler did it, where every fault is final")),
        FaultPolicy::Strict => stray.stop(frame, None),
        FaultPolicy::EndThread => stray.end_thread(frame),
        FaultPolicy::Relaxed => stray.stop(frame, Some(&"no grant would permit it")),
    }
}

fn trace(write: bool, address: VirtAddr) {
    crate::trace::record(crate::trace::layout::kind::FAULT, u8::from(write), address.as_u64());
}

/// A stray access, with what its report says and what decides about it.
struct Stray {
    access: Access,
    device: &'static Device,
    said: said::Stray<'static>,
}

impl Stray {
    fn stop(&self, frame: &TrapFrame, reason: Option<&dyn fmt::Display>) -> ! {
        let consequence = match reason {
            None => Consequence::Stopped("machine"),
            Some(reason) => Consequence::StoppedSince("machine", reason),
        };
        report::fault(PROTECTION_FAULT, frame, format_args!("{}: {consequence}", self.said))
    }

    fn end_thread(&self, frame: &mut TrapFrame) {
        let possible =
            if frame.is_thread() { task::can_kill(frame.stack_pointer()) } else { Err(task::KillRefused::NotAThread) };
        match possible {
            Ok(()) => {
                report::report(frame, format_args!("{}: {}", self.said, Consequence::ThreadEnded));
                frame.divert(task::kill_current);
            }
            Err(reason) => self.stop(frame, Some(&reason)),
        }
    }

    fn let_through(&self, frame: &mut TrapFrame) {
        // The debug exception after the instruction would store its frame there too, with the rights that are opened
        // for the instruction, and its handler's own stores would fault, be let through, and so on down to the
        // device's start.
        let around_stack = [frame.stack_pointer(), frame.stack_pointer().wrapping_sub(1)];
        if around_stack.into_iter().any(|address| owners::owner_of_address(address).is_some()) {
            self.stop(frame, Some(&"the stack pointer is in persistent memory, where every trap would store"));
        }
        if REPORTED.is_new(frame.instruction().as_u64()) {
            report::report(frame, format_args!("{}: {}", self.said, Consequence::LetThrough));
        }
        let Some(key) = self.device.protection_key() else { return };
        let enter = || record::enter_section_of(key.number());
        match single_step::open_for_one_instruction(frame, key, self.access, enter) {
            Ok(()) => {}
            Err(CannotStep::TooDeep) => {
                self.stop(frame, Some(&"the interrupts are nested too deeply to let it through"));
            }
            Err(CannotStep::Gone) => self.stop(frame, Some(&"the device is going away")),
        }
    }
}

/// How many stray accesses there were since boot. More than one only under the relaxed policy.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// How many stray accesses to persistent memory there were since boot.
pub fn fault_count() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// The places in the code that were reported.
static REPORTED: Places = Places::new();
