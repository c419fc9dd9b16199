//! Protection keys, and the rights of a context to their pages as the value of the register that enforces them:
//! IA32_PKRS and PKRU alike (Intel SDM volume 3A, section 4.6.2).
//!
//! The register has two bits for each key: bit 2i is ADi (no access), bit 2i+1 is WDi (no write; of supervisor accesses
//! it counts only while CR0.WP = 1).

use core::fmt;

/// A protection key, 1 to 15. Key 0 belongs to all other memory and is never handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u8);

impl Key {
    /// The key with this number, 1 to 15.
    pub const fn from_number(number: u8) -> Option<Self> {
        if number == 0 || number > 15 { None } else { Some(Self(number)) }
    }

    /// The key's number, as it stands in bits 62:59 of a leaf entry.
    pub const fn number(self) -> u8 {
        self.0
    }
}

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

/// How many bits of the register are a key's.
const BITS: u32 = 2;
/// The bits of key 0.
const KEY_MASK: u32 = (1 << BITS) - 1;
/// A key's bits where its pages can neither be read nor written: AD = 1. Others with AD = 1 mean the same.
const CLOSED: u32 = 0b01;
/// Where they can be read: AD = 0, WD = 1.
const READ: u32 = 0b10;
/// Where they can be read and written: AD = 0, WD = 0.
const WRITE: u32 = 0b00;
/// Key 0 open, keys 1 to 15 closed.
const ALL_CLOSED: u32 = 0x5555_5554;

/// The rights of one context to the pages of every key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    /// The rights that every context starts with: key 0 open, keys 1 to 15 closed.
    pub const CLOSED: Self = Self(ALL_CLOSED);

    /// The rights that a register value stands for.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The register's value.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// These rights with `access` to `key`'s pages; every other key's are unchanged.
    #[must_use]
    pub const fn with(self, key: Key, access: Access) -> Self {
        let shift = key.number() as u32 * BITS;
        let bits = match access {
            Access::Closed => CLOSED,
            Access::Read => READ,
            Access::Write => WRITE,
        };
        Self(self.0 & !(KEY_MASK << shift) | bits << shift)
    }

    /// The access to the pages of the key with this number, 0 to 15.
    pub const fn access(self, key_number: u8) -> Access {
        match self.0 >> ((key_number & 15) as u32 * BITS) & KEY_MASK {
            WRITE => Access::Write,
            READ => Access::Read,
            _ => Access::Closed,
        }
    }
}

impl Rights {
    /// Writes the raw value and the keys that are open, each with the name of what it guards, if `name` knows it.
    pub fn describe<'n>(self, f: &mut fmt::Formatter<'_>, name: impl Fn(u8) -> Option<&'n str>) -> fmt::Result {
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

    fn keys() -> impl Iterator<Item = Key> {
        (1..16).filter_map(Key::from_number)
    }

    #[test]
    fn keys_that_are_handed_out_are_1_to_15() {
        assert_eq!(keys().count(), 15);
        assert!(Key::from_number(0).is_none() && Key::from_number(16).is_none());
    }

    #[test]
    fn closed_rights_close_all_keys_but_zero() {
        assert_eq!(Rights::CLOSED.access(0), Access::Write);
        for key in 1..16 {
            assert_eq!(Rights::CLOSED.access(key), Access::Closed);
        }
    }

    #[test]
    fn opening_one_key_leaves_every_other_as_it_was() {
        for key in keys() {
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
        let key = Key::from_number(1).unwrap();
        assert_eq!(Rights::CLOSED.with(key, Access::Read).bits(), 0x5555_5558);
        assert_eq!(Rights::CLOSED.with(key, Access::Write).bits(), 0x5555_5550);
        assert_eq!(
            alloc::format!("{}", Rights::CLOSED.with(key, Access::Write)),
            "0x55555550 (key 0 always open, key 1 write, the others closed)"
        );
    }
}
