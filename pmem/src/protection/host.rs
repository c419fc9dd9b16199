//! The host's protection: the keys of `pmem-linux`.

use alloc::string::String;

use super::{Activity, PolicyError};

/// What follows a stray access: the kernel ends the process, which no policy of ours changes.
pub fn fault_policy() -> Option<String> {
    None
}

/// There is nothing to change here.
pub fn set_fault_policy(_word: &str) -> Result<(), PolicyError> {
    Err(PolicyError::Unprotected)
}

/// What the protection did so far; zeros if there is none. That Linux closes keys for signal handlers, and loads the
/// rights of threads, nobody counts.
pub fn activity() -> Activity {
    let writes = pmem_linux::register_writes();
    Activity { grant_writes: writes.written, skipped_writes: writes.skipped, ..Activity::default() }
}
