//! What the registers that enforce protection hold.

use super::Rights;

/// What one CPU's registers say about protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The CPU's number.
    pub cpu: u32,
    /// CR0.WP: ring 0 obeys write protection.
    pub write_protect: bool,
    /// The protection-key register, if one protects.
    pub keys: Option<KeyRegister>,
}

/// The protection-key register of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRegister {
    /// CR4.PKS or CR4.PKE: it is looked at.
    pub on: bool,
    /// What it holds.
    pub holds: Rights,
    /// What the library has put there.
    pub should_hold: Rights,
}
