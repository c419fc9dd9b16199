//! What the rooms above decide about traps: a table that `start` fills once, before anything can go wrong.

use core::fmt;
use core::ops::Range;

use libos_contract::exit::FATAL_EXCEPTION;

use super::frame::TrapFrame;
use crate::addr::{PhysAddr, VirtAddr};
use crate::halt;
use crate::keys::Rights;
use crate::sync::Once;

/// Who is called for what. All of it runs in the handler of a trap: nothing here may wait or allocate.
pub(crate) struct Hooks {
    /// A page fault at this address (CR2). What returns lets the interrupted context go on.
    pub(crate) page_fault: fn(&mut TrapFrame, VirtAddr),
    /// An exception that nothing handles.
    pub(crate) exception: fn(&TrapFrame) -> !,
    /// A failure of the machine, in words.
    pub(crate) failure: fn(&TrapFrame, fmt::Arguments<'_>) -> !,
    /// This memory has become unreadable; why the machine cannot live with that.
    pub(crate) unreadable: fn(&Range<PhysAddr>) -> Result<(), &'static str>,
    /// Whether this is the address of a byte of persistent memory.
    pub(crate) is_persistent: fn(VirtAddr) -> bool,
    /// An instruction that was let through is done with the pages of this key.
    pub(crate) leave_section: fn(u8),
    /// This CPU's timer has come to its end.
    pub(crate) timer: fn(),
    /// An interrupt has asked for another choice of the thread that runs here; this one has these rights.
    pub(crate) preempt: fn(Rights),
}

static HOOKS: Once<Hooks> = Once::new();

/// Says who is called, once.
pub(crate) fn set_hooks(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
}

/// Who is called. A trap before anybody was named ends the machine.
pub(super) fn hooks() -> &'static Hooks {
    HOOKS.get().unwrap_or_else(|| halt::exit(FATAL_EXCEPTION))
}
