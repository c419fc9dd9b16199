//! How this machine's page tables look: how many levels, how large a page may be, which address bits mean encryption.
//!
//! Values only, for whoever loads the tables, whoever fills them, and the person who boots.

use core::fmt;

use crate::addr::{PhysAddr, VirtAddr};

/// The size of a 4 KiB page, in bytes.
pub const PAGE: u64 = 4096;

/// How many entries a table has.
pub(crate) const ENTRIES: usize = 512;

/// The bits 51:12 of an entry, which hold an address in all but a few places.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// How many levels the person who boots wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// As many as this machine needs.
    #[default]
    Auto,
    /// Four.
    Four,
    /// Five, which not every CPU has.
    Five,
}

/// How many levels the hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Four: 48-bit addresses.
    Four,
    /// Five (CR4.LA57): 57-bit addresses.
    Five,
}

impl Levels {
    /// The level of the root table, when that of 4 KiB pages is 1.
    pub const fn root(self) -> u32 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }

    /// Whether the CPU can use this address at all: the bits above those that are translated repeat the highest of
    /// these.
    pub const fn is_canonical(self, address: VirtAddr) -> bool {
        self.sign_extend(address).as_u64() == address.as_u64()
    }

    /// The canonical address with the same translated bits.
    pub(crate) const fn sign_extend(self, address: VirtAddr) -> VirtAddr {
        let unused = 64 - (12 + 9 * self.root());
        VirtAddr::new(((address.as_u64() << unused) as i64 >> unused) as u64)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-level paging", self.root())
    }
}

/// How the page tables of a machine look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// How many levels there are.
    pub levels: Levels,
    /// Whether the CPU has leaves of 1 GiB.
    pub gibibyte_pages: bool,
    /// Which address bits mean encryption.
    pub encryption: Encryption,
}

/// The address bits of an entry that say how memory is encrypted and not where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// All of them: AMD's C-bit, Intel's key identifiers. Entries that differ only in these lead to the same memory.
    pub mask: u64,
    /// Those that are set in a leaf whose memory is to be encrypted, where that is not so anyway.
    pub set: u64,
}

impl Encryption {
    /// AMD's secure memory encryption, in use, with the C-bit at this place (CPUID.8000001FH:EBX, bits 5:0).
    pub const fn amd(bit: u32) -> Self {
        let mask = 1 << bit & ADDRESS;
        Self { mask, set: mask }
    }

    /// Intel's encryption with several keys, in use, with this many of the `physical_bits` for a key's identifier
    /// (IA32_TME_ACTIVATE, bits 35:32). All memory is encrypted; identifier 0 is the platform's own key.
    pub const fn intel(key_bits: u32, physical_bits: u32) -> Self {
        let low = physical_bits.saturating_sub(key_bits);
        Self { mask: ((1 << physical_bits) - (1 << low)) & ADDRESS, set: 0 }
    }
}

impl Mode {
    /// The end of what can be physical memory.
    pub const fn physical_end(self) -> PhysAddr {
        // The bits for encryption are the highest ones, or those above them are reserved.
        PhysAddr::new(if self.encryption.mask == 0 { 1 << 52 } else { 1 << self.encryption.mask.trailing_zeros() })
    }

    /// The highest level that may have leaves.
    pub(crate) const fn leaf_limit(self) -> u32 {
        if self.gibibyte_pages { 3 } else { 2 }
    }

    /// The bits of an entry at this level that say where its page or table begins.
    pub(crate) const fn address_mask(self, level: u32) -> u64 {
        ADDRESS & !(coverage(level) - 1) & !self.encryption.mask
    }
}

/// The size of what one entry at this level covers, in bytes.
pub(crate) const fn coverage(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// The place of an address's entry in its table at this level.
pub(crate) const fn index(address: VirtAddr, level: u32) -> usize {
    (address.as_u64() / coverage(level) % 512) as usize
}
