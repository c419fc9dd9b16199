//! The host's protection: the keys of `pmem-linux`.

use alloc::string::{String, ToString};

use pmem_linux::{devices, fault, policy};

use super::{Activity, PolicyError};

/// What follows a stray access: the word of a [`FaultPolicy`](libos_contract::policy::FaultPolicy). `None` if nothing
/// notices one.
pub fn fault_policy() -> Option<String> {
    is_protected().then(|| policy::fault_policy().to_string())
}

/// Changes what follows a stray access, for all devices and from now on. No process can have `end-thread`.
pub fn set_fault_policy(word: &str) -> Result<(), PolicyError> {
    let policy = word.parse().map_err(|_| PolicyError::Unknown)?;
    if !is_protected() {
        return Err(PolicyError::Unprotected);
    }
    fault::set_fault_policy(policy).map_err(|refused| PolicyError::Refused(refused.to_string()))
}

/// What the protection did so far; zeros if there is none. That Linux closes keys for signal handlers, and loads the
/// rights of threads, nobody counts.
pub fn activity() -> Activity {
    let writes = pmem_linux::register_writes();
    Activity {
        grant_writes: writes.written,
        skipped_writes: writes.skipped,
        stray_accesses: fault::fault_count(),
        ..Activity::default()
    }
}

/// Whether keys keep the devices closed.
fn is_protected() -> bool {
    devices::all().any(|device| device.key().is_some())
}
