//! The attributes of a page: what one leaf entry says besides the physical address.
//!
//! They are computed whole when a leaf is made, for each page by itself, so no attribute can be forgotten by changing
//! another one. What changes later are the [`Permissions`] alone, by [`Flags::with_permissions`].

use core::fmt;

use crate::keys::{Key, Protection};

/// How the CPU may cache a page: an entry of the page attribute table (SDM volume 3A, section 12.12), which keeps its
/// reset value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cacheability(u8);

impl Cacheability {
    /// Write-back: RAM and persistent memory.
    pub const WRITE_BACK: Self = Self(0);
    /// Uncacheable: device registers.
    pub const UNCACHEABLE: Self = Self(3);

    /// The entry with this number, 0 to 7.
    pub const fn entry(number: u8) -> Option<Self> {
        if number < 8 { Some(Self(number)) } else { None }
    }
}

/// What may be done with a page. There is no way to say writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

/// All that a leaf entry says about a page, besides where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    permissions: Permissions,
    cacheability: Cacheability,
    /// A user page, to which keys apply with PKU; nothing runs in user mode.
    user: bool,
    key: Option<Key>,
    /// Whether the machine's memory encryption applies; see [`crate::paging::Mode`].
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
        let cacheability = self.cacheability.0 as u64;
        Flags(
            Flags::PRESENT
                | if self.user { Flags::USER } else { 0 }
                | if cacheability & 1 != 0 { Flags::WRITE_THROUGH } else { 0 }
                | if cacheability & 2 != 0 { Flags::CACHE_DISABLE } else { 0 }
                | if cacheability & 4 != 0 { Flags::ATTRIBUTE_TABLE } else { 0 }
                | (key as u64) << Flags::KEY_SHIFT,
        )
        .with_permissions(self.permissions)
    }
}

/// A leaf entry's bits without addresses, in one form for all page sizes: that of a 4 KiB page (SDM volume 3A, table
/// 4-20). The marks that the CPU sets, accessed and dirty, are left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    const PRESENT: u64 = 1 << 0;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const WRITE_THROUGH: u64 = 1 << 3;
    const CACHE_DISABLE: u64 = 1 << 4;
    /// The third bit of the place in the page attribute table; bit 12 in the entry of a large page.
    pub(super) const ATTRIBUTE_TABLE: u64 = 1 << 7;
    const KEY_SHIFT: u32 = 59;
    const NO_EXECUTE: u64 = 1 << 63;

    /// What a change of permissions changes; every other bit is kept.
    pub(super) const PERMISSIONS: u64 = Self::WRITABLE | Self::NO_EXECUTE;

    /// The flags in these bits.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, the key in 62:59.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// These flags with other permissions; everything else is as it was.
    #[must_use]
    pub const fn with_permissions(self, permissions: Permissions) -> Self {
        let bits = match permissions {
            Permissions::Read => Self::NO_EXECUTE,
            Permissions::ReadWrite => Self::NO_EXECUTE | Self::WRITABLE,
            Permissions::ReadExecute => 0,
        };
        Self(self.0 & !Self::PERMISSIONS | bits)
    }

    /// Whether the page can be written.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// Whether the page's contents can run.
    pub const fn is_executable(self) -> bool {
        self.0 & Self::NO_EXECUTE == 0
    }

    /// Whether it is a user page, under PKRU rather than PKRS.
    pub const fn is_user(self) -> bool {
        self.0 & Self::USER != 0
    }

    /// The number of its protection key.
    pub const fn key(self) -> u8 {
        (self.0 >> Self::KEY_SHIFT & 0xf) as u8
    }

    /// How it may be cached.
    pub fn cacheability(self) -> Cacheability {
        let bit = |mask: u64, value: u8| if self.0 & mask != 0 { value } else { 0 };
        Cacheability(bit(Self::WRITE_THROUGH, 1) | bit(Self::CACHE_DISABLE, 2) | bit(Self::ATTRIBUTE_TABLE, 4))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} (", self.0)?;
        f.write_str(if self.is_writable() { "rw" } else { "r-" })?;
        f.write_str(if self.is_executable() { "x" } else { "-" })?;
        f.write_str(if self.is_user() { " user" } else { "" })?;
        write!(f, " cache {} key {})", self.cacheability().0, self.key())
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
