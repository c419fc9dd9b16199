//! Letting an interrupted context run one instruction with other rights.
//!
//! The trap frame gets the wider rights and the trap flag, so that a debug exception (#DB) follows the instruction; its
//! handler puts the old rights back. Until then the context may be interrupted, preempted and moved to another CPU like
//! any other: its rights travel in its frames. What to put back is kept with the thread or, for a trap handler, which
//! stays on its CPU, with the CPU and the depth of the nesting.

use core::sync::atomic::{AtomicU64, Ordering};

use super::frame::TrapFrame;
use super::hooks::hooks;
use crate::arch::x86_64::machine::percpu;
use crate::arch::{cpu_local, per_thread};
use crate::keys::{Access, Key, Rights};

/// RFLAGS.TF: a debug exception after each instruction.
const TRAP_FLAG: u64 = 1 << 8;

/// How deeply nested trap handlers can be stepped.
const DEPTHS: usize = 4;

/// What to put back: the rights in the low 32 bits, two marks, and the keys of the sections that it counts as.
#[derive(Debug, Default)]
struct Step(AtomicU64);

/// A step is under way.
const ACTIVE: u64 = 1 << 32;
/// The trap flag was set before, by somebody else.
const WAS_STEPPING: u64 = 1 << 33;
/// The place of the bit for key 0.
const KEYS: u32 = 34;

impl Step {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

cpu_local! {
    /// Steps of a CPU's trap handlers, by depth.
    static HANDLERS: [Step; DEPTHS] = [const { Step::new() }; DEPTHS];
}

per_thread! {
    /// The step of a thread.
    static STEP: Step = Step::new();
}

/// The step of the context that this trap interrupted.
fn with_step<R>(use_step: impl FnOnce(&Step) -> R) -> Option<R> {
    let cpu = percpu::this();
    // This trap counts as one.
    match cpu.trap_depth.load(Ordering::Relaxed).checked_sub(2) {
        None => STEP.here().map(use_step),
        Some(depth) => HANDLERS.on(cpu).get(depth as usize).map(use_step),
    }
}

/// Why an instruction cannot be let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CannotStep {
    /// No place is left to note what to put back.
    TooDeep,
    /// The device is going away.
    Gone,
}

/// Lets the interrupted instruction run with these rights to the key, besides its own, and takes them back after it.
/// Until then it counts as a section of the key's device, which `enter` enters, unless it is going away. Once more for
/// the same instruction widens further.
pub(crate) fn open_for_one_instruction(
    frame: &mut TrapFrame,
    key: Key,
    access: Access,
    enter: impl FnOnce() -> bool,
) -> Result<(), CannotStep> {
    let key_bit = 1 << (KEYS + u32::from(key.number()));
    let noted = with_step(|step| {
        let mut saved = step.0.load(Ordering::Relaxed);
        if saved & ACTIVE == 0 {
            let flag = if frame.rflags & TRAP_FLAG != 0 { WAS_STEPPING } else { 0 };
            saved = u64::from(frame.rights().bits()) | ACTIVE | flag;
        }
        if saved & key_bit == 0 && !enter() {
            return Err(CannotStep::Gone);
        }
        step.0.store(saved | key_bit, Ordering::Relaxed);
        Ok(())
    });
    noted.unwrap_or(Err(CannotStep::TooDeep))?;
    frame.set_rights(frame.rights().with(key, access));
    frame.rflags |= TRAP_FLAG;
    Ok(())
}

/// Leaves the sections that a step counted as.
fn leave_sections(saved: u64) {
    for key in (1..16).filter(|key| saved & 1 << (KEYS + u32::from(*key)) != 0) {
        (hooks().leave_section)(key);
    }
}

/// The debug exception after the instruction: puts back what it found. False if no step was under way.
pub(super) fn finish(frame: &mut TrapFrame) -> bool {
    let Some(saved) = with_step(|step| step.0.swap(0, Ordering::Relaxed)) else { return false };
    if saved & ACTIVE == 0 {
        return false;
    }
    frame.set_rights(Rights::from_bits(saved as u32));
    leave_sections(saved);
    if saved & WAS_STEPPING == 0 {
        frame.rflags &= !TRAP_FLAG;
    }
    true
}

/// Forgets the step of the interrupted thread, which does not go on.
pub(super) fn forget() {
    if let Some(saved) = with_step(|step| step.0.swap(0, Ordering::Relaxed)) {
        leave_sections(saved);
    }
}
