//! Where there are no protection keys nobody handles faults.

use std::io;

use libos_contract::policy::FaultPolicy;

use crate::policy::PolicyRefused;

/// There is nothing to handle.
pub(crate) fn install() -> io::Result<()> {
    Ok(())
}

/// Changes nothing.
///
/// # Errors
/// Always.
pub fn set_fault_policy(_: FaultPolicy) -> Result<(), PolicyRefused> {
    Err(PolicyRefused::NotHere)
}

/// How many stray accesses were noticed: none.
pub fn fault_count() -> u64 {
    0
}
