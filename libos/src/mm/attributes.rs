//! The attributes of a page: what one leaf entry says besides the physical address.
//!
//! They are computed whole when a leaf is made, so no attribute can be forgotten by changing another one.

use x86_64::structures::paging::PageTableFlags;

use crate::dax::{Key, Protection};

/// How the CPU may cache a page. The page attribute table keeps its reset value, in which PCD and PWT select these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheability {
    /// Write-back: RAM and persistent memory.
    WriteBack,
    /// Uncacheable: device registers.
    Uncacheable,
}

/// What a leaf entry permits. There is no combination of writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    writable: bool,
    executable: bool,
    cacheability: Cacheability,
    /// A user page, to which keys apply with PKU; nothing runs in user mode.
    user: bool,
    key: Option<Key>,
}

/// The lowest of the four bits, 62:59, that hold a leaf's protection key.
const KEY_SHIFT: u32 = 59;

impl Attributes {
    /// Machine code: read and execute.
    pub const CODE: Self =
        Self { writable: false, executable: true, cacheability: Cacheability::WriteBack, user: false, key: None };
    /// Constant data: read.
    pub const CONSTANT: Self = Self { executable: false, ..Self::CODE };
    /// Ordinary data: read and write.
    pub const DATA: Self = Self { writable: true, ..Self::CONSTANT };
    /// Device registers: read and write, uncacheable.
    pub const DEVICE: Self = Self { cacheability: Cacheability::Uncacheable, ..Self::DATA };

    /// Persistent memory under a protection key, or under none when there is no protection.
    pub const fn pmem(protection: Protection, key: Option<Key>, read_only: bool) -> Self {
        Self { key, writable: !read_only, user: matches!(protection, Protection::Pku), ..Self::DATA }
    }

    /// The leaf's flags, with the key in bits 62:59; the physical address and the page-size bit are the mapper's.
    pub fn flags(self) -> PageTableFlags {
        let mut flags = PageTableFlags::PRESENT;
        flags.set(PageTableFlags::WRITABLE, self.writable);
        flags.set(PageTableFlags::NO_EXECUTE, !self.executable);
        flags.set(PageTableFlags::USER_ACCESSIBLE, self.user);
        if self.cacheability == Cacheability::Uncacheable {
            flags |= PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
        }
        let key = self.key.map_or(0, Key::number);
        flags | PageTableFlags::from_bits_retain(u64::from(key) << KEY_SHIFT)
    }
}

/// The number of the key in a leaf's flags.
pub fn key_number(flags: PageTableFlags) -> u8 {
    (flags.bits() >> KEY_SHIFT & 0xf) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dax::KeyAllocator;

    #[test]
    fn the_key_stands_in_bits_62_to_59_and_disturbs_nothing() {
        let mut keys = KeyAllocator::new();
        let plain = Attributes::pmem(Protection::Pks, None, false).flags();
        assert_eq!(key_number(plain), 0);
        while let Ok(key) = keys.allocate() {
            let flags = Attributes::pmem(Protection::Pks, Some(key), false).flags();
            assert_eq!(key_number(flags), key.number());
            assert_eq!(flags.bits() & !(0xf << 59), plain.bits());
        }
    }

    #[test]
    fn only_pku_needs_user_pages() {
        for (protection, user) in [(Protection::Pks, false), (Protection::Pku, true), (Protection::None, false)] {
            let flags = Attributes::pmem(protection, None, false).flags();
            assert_eq!(flags.contains(PageTableFlags::USER_ACCESSIBLE), user);
        }
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for attributes in [Attributes::CODE, Attributes::CONSTANT, Attributes::DATA, Attributes::DEVICE] {
            let flags = attributes.flags();
            assert!(flags.contains(PageTableFlags::NO_EXECUTE) || !flags.contains(PageTableFlags::WRITABLE));
        }
    }
}
