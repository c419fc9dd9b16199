//! The guest's protection: `libos`'s.

use alloc::string::{String, ToString};

use libos::arch::key_rights;
use libos::{dax, task};

use super::{Activity, PolicyError};

/// What follows a stray access: the word of a [`FaultPolicy`](libos_contract::policy::FaultPolicy). `None` if nothing
/// notices one.
pub fn fault_policy() -> Option<String> {
    is_protected().then(|| dax::fault_policy().to_string())
}

/// Changes what follows a stray access, for all devices and from now on.
pub fn set_fault_policy(word: &str) -> Result<(), PolicyError> {
    let policy = word.parse().map_err(|_| PolicyError::Unknown)?;
    if !is_protected() {
        return Err(PolicyError::Unprotected);
    }
    dax::set_fault_policy(policy);
    Ok(())
}

/// What the protection did so far; zeros if there is none.
pub fn activity() -> Activity {
    let writes = key_rights::counts();
    Activity {
        grant_writes: writes.grants,
        trap_writes: writes.traps,
        switch_writes: writes.switches,
        skipped_writes: writes.skipped,
        stray_accesses: dax::fault_count(),
        threads_ended: task::ended_count(),
    }
}

/// Whether keys keep the devices closed.
fn is_protected() -> bool {
    dax::devices().iter().any(|device| device.protection() != dax::Protection::None)
}
