//! What the registers that enforce protection hold.

use super::Rights;

/// What one CPU's registers say about protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The CPU's number.
    pub cpu: u32,
    /// The library's own code obeys write protection.
    pub write_protect: bool,
    /// The protection-key register, if one protects.
    pub keys: Option<KeyRegister>,
}

/// The protection-key register of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRegister {
    /// It is looked at.
    pub on: bool,
    /// What it holds.
    pub holds: Rights,
    /// What the library has put there.
    pub should_hold: Rights,
}
