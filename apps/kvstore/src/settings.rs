//! What can be configured while the server runs (`CONFIG SET`), beside the bounds in [`crate::shared::ClientLimits`].

use std::collections::BTreeMap;

/// The settings that have an effect, and those that are only remembered.
#[derive(Debug, Default)]
pub struct Settings {
    /// After how many idle seconds a client is closed (`timeout`); 0: never.
    pub timeout: u64,
    /// Whether clients from other machines are refused (`protected-mode`).
    pub protected_mode: bool,
    /// Above how many live bytes writes are refused (`maxmemory`), if it was set; 0 or none: when the pool is full.
    pub maxmemory: Option<u64>,
    /// Values of parameters that have no effect here, if they were set.
    pub kept: BTreeMap<&'static str, String>,
}
