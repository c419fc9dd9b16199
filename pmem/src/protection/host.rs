//! The host's protection: none.

use alloc::string::String;

use super::{Activity, PolicyError};

/// What follows a stray access: nothing notices one here.
pub fn fault_policy() -> Option<String> {
    None
}

/// There is nothing to change here.
pub fn set_fault_policy(_word: &str) -> Result<(), PolicyError> {
    Err(PolicyError::Unprotected)
}

/// What the protection did so far: zeros, for there is none.
pub fn activity() -> Activity {
    Activity::default()
}
