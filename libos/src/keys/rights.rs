//! The rights of a context, as the value of the register that enforces them: pure arithmetic.

use core::fmt;

use super::Key;
use crate::arch::key_register::{self, Value};

/// What a context may do with the pages of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Neither read nor write.
    Closed,
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// The bits of key 0.
const KEY_MASK: Value = (1 << key_register::BITS) - 1;

/// The rights of one context to the pages of every key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rights(Value);

impl Rights {
    /// The rights that every context starts with: key 0 open, keys 1 to 15 closed.
    pub const CLOSED: Self = Self(key_register::ALL_CLOSED);

    /// The rights that a register value stands for.
    pub const fn from_bits(bits: Value) -> Self {
        Self(bits)
    }

    /// The register's value.
    pub const fn bits(self) -> Value {
        self.0
    }

    /// These rights with `access` to `key`'s pages; every other key's are unchanged.
    #[must_use]
    pub const fn with(self, key: Key, access: Access) -> Self {
        let shift = key.number() as u32 * key_register::BITS;
        let bits = match access {
            Access::Closed => key_register::CLOSED,
            Access::Read => key_register::READ,
            Access::Write => key_register::WRITE,
        };
        Self(self.0 & !(KEY_MASK << shift) | bits << shift)
    }

    /// The access to the pages of the key with this number, 0 to 15.
    pub const fn access(self, key_number: u8) -> Access {
        match self.0 >> ((key_number & 15) as u32 * key_register::BITS) & KEY_MASK {
            key_register::WRITE => Access::Write,
            key_register::READ => Access::Read,
            _ => Access::Closed,
        }
    }
}

impl Rights {
    /// Writes the raw value and the keys that are open, each with the name of what it guards, if `name` knows it.
    pub(crate) fn describe<'n>(self, f: &mut fmt::Formatter<'_>, name: impl Fn(u8) -> Option<&'n str>) -> fmt::Result {
        write!(f, "{:#010x} (key 0 always open", self.0)?;
        for key in 1..16 {
            let access = match self.access(key) {
                Access::Closed => continue,
                Access::Read => "read",
                Access::Write => "write",
            };
            write!(f, ", key {key} ")?;
            if let Some(name) = name(key) {
                write!(f, "{name} ")?;
            }
            f.write_str(access)?;
        }
        f.write_str(", the others closed)")
    }
}

impl fmt::Display for Rights {
    /// The raw value and the keys that are open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, |_| None)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyAllocator;

    #[test]
    fn closed_rights_close_all_keys_but_zero() {
        assert_eq!(Rights::CLOSED.access(0), Access::Write);
        for key in 1..16 {
            assert_eq!(Rights::CLOSED.access(key), Access::Closed);
        }
    }

    #[test]
    fn opening_one_key_leaves_every_other_as_it_was() {
        let mut keys = KeyAllocator::new();
        while let Ok(key) = keys.allocate() {
            for access in [Access::Closed, Access::Read, Access::Write] {
                let rights = Rights::CLOSED.with(key, access);
                for other in 0..16 {
                    let expected = if other == key.number() { access } else { Rights::CLOSED.access(other) };
                    assert_eq!(rights.access(other), expected);
                }
                assert_eq!(rights.with(key, Access::Closed), Rights::CLOSED);
            }
        }
    }

    #[test]
    fn bits_are_placed_as_the_manual_says() {
        let key = KeyAllocator::new().allocate().unwrap();
        assert_eq!(key.number(), 1);
        assert_eq!(Rights::CLOSED.with(key, Access::Read).bits(), 0x5555_5558);
        assert_eq!(Rights::CLOSED.with(key, Access::Write).bits(), 0x5555_5550);
        assert_eq!(
            alloc::format!("{}", Rights::CLOSED.with(key, Access::Write)),
            "0x55555550 (key 0 always open, key 1 write, the others closed)"
        );
    }
}
