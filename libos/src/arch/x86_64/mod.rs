//! x86-64, in four rooms, each below those that follow it but for what lies between in the map of the library:
//! what the manuals say about bits, what one CPU does, its traps, and how it starts.
//!
//! Owns all inline assembly of the project and all privileged instructions; only `machine::key_rights` writes the
//! protection-key registers. Never: policy. What a fault means, who runs next and what is mapped where is decided by
//! the rooms above.

#[cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use some of it"))]
pub mod format;
#[cfg(target_os = "hermit")]
pub mod machine;
#[cfg(target_os = "hermit")]
pub mod start;
#[cfg(target_os = "hermit")]
pub mod trap;
