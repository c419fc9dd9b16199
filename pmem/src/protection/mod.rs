//! What keeps stray accesses out of this machine's devices: what follows one, and what has been counted.
//!
//! On the guest this is `libos`'s, on the host `pmem-linux`'s, behind words and numbers, so that a program can show it
//! and change it without knowing of registers. Which protection a device has is
//! [`Device::protection`](crate::Device::protection).

#[cfg(target_os = "hermit")]
mod guest;
#[cfg(not(target_os = "hermit"))]
mod host;

#[cfg(target_os = "hermit")]
pub use guest::{activity, fault_policy, set_fault_policy};
#[cfg(not(target_os = "hermit"))]
pub use host::{activity, fault_policy, set_fault_policy};

use alloc::string::String;
use core::fmt;

use libos_contract::policy::FaultPolicy;
use libos_contract::words;

/// What the protection did since the machine booted, or the process began, on all CPUs and for all devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Writes of the register that opens and closes devices, because a grant began or ended, or because a thread was
    /// started inside of one.
    pub grant_writes: u64,
    /// Such writes because a trap came while a device was open, and because it left.
    pub trap_writes: u64,
    /// Such writes because a thread with other rights came to a CPU.
    pub switch_writes: u64,
    /// Such writes that were left out because the register held the value already.
    pub skipped_writes: u64,
    /// Stray accesses that were caught. The strict policy ends the machine at the first.
    pub stray_accesses: u64,
    /// Threads that the policy `end-thread` has ended.
    pub threads_ended: u64,
}

impl Activity {
    /// All writes of the register.
    pub fn register_writes(&self) -> u64 {
        self.grant_writes + self.trap_writes + self.switch_writes
    }
}

/// Why the fault policy was left as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// No policy has this name.
    Unknown,
    /// There is none: nothing here notices stray accesses.
    Unprotected,
    /// It cannot be had here, for this reason.
    Refused(String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "it is one of {}", words::list(&FaultPolicy::ALL, "and")),
            Self::Unprotected => f.write_str("nothing notices stray accesses here, so nothing can follow them"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for PolicyError {}
