//! The attributes of a page: what one leaf entry says besides the physical address.
//!
//! They are computed whole when a leaf is made, for each page by itself, so no attribute can be forgotten by changing
//! another one. What changes later are the [`Permissions`] alone, by [`Flags::with_permissions`].

pub use crate::arch::page_table::{Cacheability, Flags};
pub use crate::keys::Permissions;
use crate::keys::{Key, Protection};

/// All that a leaf entry says about a page, besides where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    permissions: Permissions,
    cacheability: Cacheability,
    /// A user page, to which keys apply with PKU; nothing runs in user mode.
    user: bool,
    key: Option<Key>,
    /// Whether the machine's memory encryption applies; see [`crate::arch::paging::Mode`].
    encrypted: bool,
}

impl Attributes {
    /// Machine code: read and execute.
    pub const CODE: Self = Self {
        permissions: Permissions::ReadExecute,
        cacheability: Cacheability::WRITE_BACK,
        user: false,
        key: None,
        encrypted: false,
    };
    /// Constant data: read.
    pub const CONSTANT: Self = Self { permissions: Permissions::Read, ..Self::CODE };
    /// Ordinary data: read and write.
    pub const DATA: Self = Self { permissions: Permissions::ReadWrite, ..Self::CODE };
    /// Device registers: read and write, uncacheable.
    pub const DEVICE: Self = Self { cacheability: Cacheability::UNCACHEABLE, ..Self::DATA };

    /// Persistent memory under a protection key, or under none when there is no protection. Never encrypted: the keys
    /// of a machine's memory encryption are lost with its power, and the data with them.
    pub const fn pmem(protection: Protection, key: Option<Key>, read_only: bool) -> Self {
        let permissions = if read_only { Permissions::Read } else { Permissions::ReadWrite };
        Self { permissions, key, user: matches!(protection, Protection::Pku), ..Self::DATA }
    }

    /// These, cached in another way.
    #[must_use]
    pub const fn with_cacheability(self, cacheability: Cacheability) -> Self {
        Self { cacheability, ..self }
    }

    /// These, encrypted in memory where the machine has that.
    #[must_use]
    pub const fn encrypted(self) -> Self {
        Self { encrypted: true, ..self }
    }

    /// Whether memory encryption applies.
    pub const fn is_encrypted(self) -> bool {
        self.encrypted
    }

    /// The leaf's flags.
    pub const fn flags(self) -> Flags {
        let key = match self.key {
            Some(key) => key.number(),
            None => 0,
        };
        Flags::new(self.user, self.cacheability, key).with_permissions(self.permissions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyAllocator;

    #[test]
    fn the_key_stands_in_bits_62_to_59_and_disturbs_nothing() {
        let mut keys = KeyAllocator::new();
        let plain = Attributes::pmem(Protection::Pks, None, false).flags();
        assert_eq!(plain.key(), 0);
        while let Ok(key) = keys.allocate() {
            let flags = Attributes::pmem(Protection::Pks, Some(key), false).flags();
            assert_eq!(flags.key(), key.number());
            assert_eq!(flags.bits() & !(0xf << 59), plain.bits());
        }
    }

    #[test]
    fn only_pku_needs_user_pages() {
        for (protection, user) in [(Protection::Pks, false), (Protection::Pku, true), (Protection::None, false)] {
            assert_eq!(Attributes::pmem(protection, None, false).flags().is_user(), user);
        }
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for attributes in [Attributes::CODE, Attributes::CONSTANT, Attributes::DATA, Attributes::DEVICE] {
            for permissions in [Permissions::Read, Permissions::ReadWrite, Permissions::ReadExecute] {
                let flags = attributes.flags().with_permissions(permissions);
                assert!(!flags.is_executable() || !flags.is_writable());
                assert_eq!(flags.is_writable(), permissions == Permissions::ReadWrite);
                assert_eq!(flags.is_executable(), permissions == Permissions::ReadExecute);
            }
        }
    }

    #[test]
    fn a_change_of_permissions_keeps_the_rest() {
        let key = KeyAllocator::new().allocate().ok();
        for number in 0..8 {
            let cacheability = Cacheability::entry(number).unwrap();
            let before = Attributes::pmem(Protection::Pku, key, false).with_cacheability(cacheability).flags();
            let after = before.with_permissions(Permissions::Read);
            assert_eq!((after.key(), after.is_user(), after.cacheability()), (1, true, cacheability));
            assert_eq!(after.with_permissions(Permissions::ReadWrite), before);
        }
        assert_eq!(Cacheability::entry(8), None);
    }

    #[test]
    fn registers_are_uncacheable_as_the_reset_table_has_it() {
        // Entry 3, PCD and PWT, is UC at reset: 0x0007_0406_0007_0406.
        assert_eq!(Attributes::DEVICE.flags().bits() & 0x98, 0x18);
        assert_eq!(Attributes::DATA.flags().bits() & 0x98, 0);
    }
}
