//! Letting an interrupted context run one instruction with other rights.
//!
//! The signal frame gets the wider rights and the trap flag, so that SIGTRAP follows the instruction; its handler puts
//! the old rights back. A signal that comes in between has a frame of its own: its handler starts with closed rights
//! and no trap flag, and `sigreturn(2)` brings both back.

use core::cell::Cell;

use libos_contract::rights::{Access, Key, Rights};

use super::frame::Frame;

/// How many handlers that are stepped can be on top of each other in a thread.
const DEPTH: usize = 4;

/// What to put back after an instruction.
#[derive(Clone, Copy)]
struct Step {
    instruction: u64,
    rights: u32,
    was_stepping: bool,
    blocked_trap: bool,
}

impl Step {
    const NONE: Self = Self { instruction: 0, rights: 0, was_stepping: false, blocked_trap: false };
}

/// The steps under way in a thread, the innermost last.
struct Steps {
    depth: Cell<usize>,
    steps: [Cell<Step>; DEPTH],
}

thread_local! {
    /// Constant at first and without a destructor, so that a signal handler may use it at any moment. Only handlers
    /// do, with all signals blocked.
    static STEPS: Steps = const { Steps { depth: Cell::new(0), steps: [const { Cell::new(Step::NONE) }; DEPTH] } };
}

/// Why an instruction cannot be let through.
pub(super) struct TooDeep;

/// Lets the interrupted instruction run with `access` to `key`, besides the context's own rights, and has SIGTRAP come
/// after it. Once more for the same instruction widens further.
pub(super) fn open_for_one_instruction(
    frame: &mut Frame<'_>,
    rights: Rights,
    key: Key,
    access: Access,
) -> Result<(), TooDeep> {
    STEPS.with(|steps| {
        let depth = steps.depth.get();
        let innermost = depth.checked_sub(1).map(|last| steps.steps[last].get());
        let goes_on = innermost.is_some_and(|step| step.instruction == frame.instruction() && frame.is_stepping());
        if !goes_on {
            let step = Step {
                instruction: frame.instruction(),
                rights: rights.bits(),
                was_stepping: frame.is_stepping(),
                blocked_trap: frame.blocks(libc::SIGTRAP),
            };
            steps.steps.get(depth).ok_or(TooDeep)?.set(step);
            steps.depth.set(depth + 1);
        }
        frame.set_rights(rights.with(key, access));
        frame.set_stepping(true);
        // A trap that is kept waiting ends the process.
        frame.set_blocks(libc::SIGTRAP, false);
        Ok(())
    })
}

/// The debug exception after the instruction: puts back what it found. False if no step was under way.
pub(super) fn finish(frame: &mut Frame<'_>) -> bool {
    STEPS.with(|steps| {
        let Some(last) = steps.depth.get().checked_sub(1) else { return false };
        steps.depth.set(last);
        let step = steps.steps[last].get();
        frame.set_rights(Rights::from_bits(step.rights));
        frame.set_stepping(step.was_stepping);
        frame.set_blocks(libc::SIGTRAP, step.blocked_trap);
        true
    })
}
