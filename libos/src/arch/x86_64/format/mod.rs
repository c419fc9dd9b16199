//! What bits mean, as the manuals say it: pure arithmetic, tested on the host.

pub mod bank;
pub mod cache_types;
pub mod exception;
