//! Accesses that went astray into a device: whose it was, and what happens then.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use libos_contract::policy::FaultPolicy;
use libos_contract::report::{Consequence, Denial, FAULT, Places, Stray, left_to_repeat};
use libos_contract::rights::{Access, Key};

use super::frame::Frame;
use super::handler::{self, Fault, FaultAction};
use super::report::{self, Output};
use super::step;
use crate::devices::{self, OpenDevice};
use crate::policy::fault_policy;

/// Why the kernel denied an access (`siginfo_t`): nothing is mapped there, or a key denies it.
const NOT_MAPPED: i32 = 1;
const BY_KEY: i32 = 4;

/// How many stray accesses there were.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// The places in the code that were reported.
static REPORTED: Places = Places::new();

/// How many stray accesses to devices there were since the process began. More than one only under the policy
/// `relaxed`.
pub fn fault_count() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// Decides about an access to a device that was denied.
pub(super) fn denied(frame: &mut Frame<'_>, device: OpenDevice) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let denial = match frame.info().si_code {
        BY_KEY => Denial::Key,
        // A child that was forked has no map of its parent's devices.
        NOT_MAPPED => Denial::Gone,
        _ if frame.is_jump() => Denial::NotExecutable,
        _ => Denial::WriteProtected,
    };
    let answer = if denial == Denial::Key { ask_handler(frame, device) } else { Answer::Policy };
    if answer == Answer::Retry {
        return;
    }
    let name = device.name();
    let stray = Stray {
        kind: kind(frame),
        device: name.as_str(),
        offset: frame.address().wrapping_sub(device.addresses().start as u64),
        address: frame.address(),
        key: device.key().map_or(0, Key::number),
        denial,
        length: length(frame),
        retried: answer == Answer::RetryInVain,
        policy: fault_policy(),
    };
    match stray.policy {
        FaultPolicy::Relaxed if denial == Denial::Key => let_through(frame, device, &stray),
        FaultPolicy::Relaxed => stop(frame, &stray, Some(&"no grant would permit it")),
        FaultPolicy::Strict | FaultPolicy::EndThread => stop(frame, &stray, None),
    }
}

/// What a device's handler says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// To try again, which it has made possible.
    Retry,
    /// To try again, which would come to the same.
    RetryInVain,
    /// That the policy decides; also where there is no handler.
    Policy,
}

fn ask_handler(frame: &mut Frame<'_>, device: OpenDevice) -> Answer {
    let (Some(handler), Some(rights)) = (handler::of(device), frame.rights()) else { return Answer::Policy };
    let mut fault = Fault::new(frame, device, rights);
    match handler(&mut fault) {
        FaultAction::Policy => Answer::Policy,
        FaultAction::Retry if fault.is_permitted() => Answer::Retry,
        FaultAction::Retry => Answer::RetryInVain,
    }
}

/// What kind of access it was, in the words of a report.
pub(super) fn kind(frame: &Frame<'_>) -> &'static str {
    match frame {
        _ if frame.is_jump() => "jump",
        _ if frame.is_write() => "write",
        _ => "read",
    }
}

/// How many bytes from the place of the fault on the access was about to touch, if the instruction tells.
fn length(frame: &Frame<'_>) -> Option<u64> {
    let (code, length) = report::code(frame);
    left_to_repeat(&code[..length], frame.count())
}

fn stop(frame: &Frame<'_>, stray: &Stray<'_>, reason: Option<&dyn fmt::Display>) -> ! {
    let consequence = match reason {
        None => Consequence::Stopped("process"),
        Some(reason) => Consequence::StoppedSince("process", reason),
    };
    report::last(frame, format_args!("{FAULT}{stray}: {consequence}"))
}

fn let_through(frame: &mut Frame<'_>, device: OpenDevice, stray: &Stray<'_>) {
    let around_stack = [frame.stack_pointer(), frame.stack_pointer().wrapping_sub(1)];
    if around_stack.into_iter().any(|address| devices::device_at(address as usize).is_some()) {
        stop(frame, stray, Some(&"the stack pointer is in persistent memory, where a signal's frame would be stored"));
    }
    let (Some(key), Some(rights)) = (device.key(), frame.rights()) else {
        stop(frame, stray, Some(&"the device has no key any more"));
    };
    if REPORTED.is_new(frame.instruction()) {
        report::write(&mut Output::new(), format_args!("{FAULT}{stray}: {}", Consequence::LetThrough), frame);
    }
    let access = if frame.is_write() { Access::Write } else { Access::Read };
    if step::open_for_one_instruction(frame, rights, key, access).is_err() {
        stop(frame, stray, Some(&"handlers are on top of each other too deeply to let it through"));
    }
}
