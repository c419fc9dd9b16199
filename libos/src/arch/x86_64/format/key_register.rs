//! The value of a protection-key register: IA32_PKRS and PKRU alike (SDM volume 3A, section 4.6.2).
//!
//! There are two bits for each key: bit 2i is ADi (no access), bit 2i+1 is WDi (no write; it counts only while CR0.WP =
//! 1).

/// A value of the register.
pub type Value = u32;

/// How many of its bits are a key's.
pub(crate) const BITS: u32 = 2;

/// A key's bits where its pages can neither be read nor written: AD = 1. Others with AD = 1 mean the same.
pub(crate) const CLOSED: Value = 0b01;
/// Where they can be read: AD = 0, WD = 1.
pub(crate) const READ: Value = 0b10;
/// Where they can be read and written: AD = 0, WD = 0.
pub(crate) const WRITE: Value = 0b00;

/// Key 0 open, keys 1 to 15 closed.
pub(crate) const ALL_CLOSED: Value = 0x5555_5554;
