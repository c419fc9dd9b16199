//! Faults in devices: accesses that went astray, and pages that cannot be had. Who did it, where, and what follows.
//!
//! The kernel tells by SIGSEGV and SIGBUS. Their handlers run with closed rights, as every signal handler does, with
//! all signals blocked, and make reports on a stack of their own. They do only what a signal handler may, until the
//! process is to end anyway. What concerns no device goes to whoever had the signal before.
//!
//! Not seen here: an access of the kernel's on behalf of a system call, which fails with EFAULT; a stray access where
//! the program blocks SIGSEGV, which ends the process without a report; and all of them after another handler has taken
//! the signal without passing on what is not its own.

mod backtrace;
mod bus;
mod end;
mod frame;
mod handler;
mod previous;
mod report;
mod signals;
mod stack;
mod step;
mod stray;
mod system;

use libos_contract::policy::FaultPolicy;

use crate::policy::{self, PolicyRefused};

pub(crate) use self::handler::set as set_handler;
pub use self::handler::{Fault, FaultAction, FaultHandler};
pub(crate) use self::signals::install;
pub use self::stray::fault_count;

/// Changes the fault policy, for faults from now on.
///
/// # Errors
/// When a process cannot have it.
pub fn set_fault_policy(policy: FaultPolicy) -> Result<(), PolicyRefused> {
    match policy {
        FaultPolicy::EndThread => return Err(PolicyRefused::EndThread),
        FaultPolicy::Relaxed => signals::install_trap().map_err(PolicyRefused::NoTrap)?,
        FaultPolicy::Strict => {}
    }
    policy::set(policy);
    Ok(())
}
