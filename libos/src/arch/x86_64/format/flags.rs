//! What a leaf of the page tables says of its page, bit by bit.

use core::fmt;

use crate::keys::Permissions;

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

/// A leaf entry's bits without addresses, in one form for all page sizes: that of a 4 KiB page (SDM volume 3A, table
/// 4-20). The marks that the CPU sets, accessed and dirty, are left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    pub(super) const PRESENT: u64 = 1 << 0;
    pub(super) const WRITABLE: u64 = 1 << 1;
    pub(super) const USER: u64 = 1 << 2;
    const WRITE_THROUGH: u64 = 1 << 3;
    const CACHE_DISABLE: u64 = 1 << 4;
    /// The third bit of the place in the page attribute table; bit 12 in the entry of a large page.
    pub(super) const ATTRIBUTE_TABLE: u64 = 1 << 7;
    const KEY_SHIFT: u32 = 59;
    const NO_EXECUTE: u64 = 1 << 63;

    /// What a change of permissions changes; every other bit is kept.
    pub(super) const PERMISSIONS: u64 = Self::WRITABLE | Self::NO_EXECUTE;

    /// Those of a present page that permits to read it and to execute it.
    pub(crate) const fn new(user: bool, cacheability: Cacheability, key: u8) -> Self {
        let cacheability = cacheability.0 as u64;
        Self(
            Self::PRESENT
                | if user { Self::USER } else { 0 }
                | if cacheability & 1 != 0 { Self::WRITE_THROUGH } else { 0 }
                | if cacheability & 2 != 0 { Self::CACHE_DISABLE } else { 0 }
                | if cacheability & 4 != 0 { Self::ATTRIBUTE_TABLE } else { 0 }
                | (key as u64) << Self::KEY_SHIFT,
        )
    }

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
