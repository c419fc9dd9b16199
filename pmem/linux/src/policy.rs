//! The fault policy of this process. Which ones there are is in `libos_contract::policy`; what each does, in `fault`.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use libos_contract::policy::FaultPolicy;

static POLICY: AtomicU8 = AtomicU8::new(FaultPolicy::Strict as u8);

/// The policy in force.
pub fn fault_policy() -> FaultPolicy {
    let number = POLICY.load(Ordering::Relaxed);
    FaultPolicy::ALL.into_iter().find(|&policy| policy as u8 == number).unwrap_or_default()
}

/// Changes the policy. `fault` has seen to it that it can be had.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) fn set(policy: FaultPolicy) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

/// Why a process cannot have a fault policy.
#[derive(Debug)]
#[non_exhaustive]
pub enum PolicyRefused {
    /// `end-thread`: nobody but itself can end a thread of a Linux process.
    EndThread,
    /// The trap after an access that was let through cannot be handled.
    NoTrap(io::Error),
    /// Faults are handled on x86-64 alone.
    NotHere,
}

impl fmt::Display for PolicyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndThread => f.write_str(
                "a Linux process cannot end one of its threads and go on: the locks that it holds, such as the \
                 allocator's, would stay locked for ever; here it is strict or relaxed",
            ),
            Self::NoTrap(error) => write!(f, "SIGTRAP cannot be handled: {error}"),
            Self::NotHere => f.write_str("nothing notices stray accesses on this processor"),
        }
    }
}

impl std::error::Error for PolicyRefused {}
