//! Whose words these are.

/// The version of Redis whose commands, semantics and words these are.
pub const REDIS_VERSION: &str = "7.0.15";
