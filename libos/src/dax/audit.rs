//! The audit: proof, leaf by leaf, that the page tables protect what they should.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use x86_64::structures::paging::PageTableFlags;

use crate::mm::attributes::key_number;
use crate::mm::page_table::Leaf;

/// What one device should look like in the page tables.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its physical addresses.
    pub physical: Range<u64>,
    /// Where it is mapped.
    pub window: u64,
    /// The key that its leaves carry; 0 without protection.
    pub key: u8,
    /// Whether its leaves are user pages, as PKU needs them.
    pub user: bool,
}

/// A leaf that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// A leaf maps a device's memory without the device's key.
    WrongKey {
        /// The leaf.
        leaf: Leaf,
        /// The key that it should carry.
        expected: u8,
    },
    /// A leaf maps a device's memory outside of the device's window.
    Alias(Leaf),
    /// A leaf carries a key although it maps no device.
    StrayKey(Leaf),
    /// A leaf is writable and executable, or a device's memory is executable.
    Executable(Leaf),
    /// A leaf is a user page and should not be, or the other way round: its key would not be checked.
    WrongMode(Leaf),
    /// A leaf of a device is not cached write-back.
    Uncached(Leaf),
    /// A device is not mapped whole: this many bytes are.
    Incomplete {
        /// The device's place in the list.
        device: usize,
        /// How many of its bytes are mapped.
        mapped: u64,
    },
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKey { leaf, expected } => {
                write!(f, "leaf {:#x} has key {}, not {expected}", leaf.virtual_address, key_number(leaf.flags))
            }
            Self::Alias(leaf) => {
                write!(f, "leaf {:#x} is an alias of pmem at {:#x}", leaf.virtual_address, leaf.physical_address)
            }
            Self::StrayKey(leaf) => {
                write!(f, "leaf {:#x} has key {} but is not pmem", leaf.virtual_address, key_number(leaf.flags))
            }
            Self::Executable(leaf) => write!(f, "leaf {:#x} must not be executable", leaf.virtual_address),
            Self::WrongMode(leaf) => {
                write!(f, "leaf {:#x} is on the wrong side of user and supervisor pages", leaf.virtual_address)
            }
            Self::Uncached(leaf) => write!(f, "leaf {:#x} of pmem is not write-back", leaf.virtual_address),
            Self::Incomplete { device, mapped } => write!(f, "only {mapped:#x} bytes of pmem{device} are mapped"),
        }
    }
}

impl core::error::Error for AuditError {}

/// What an audit saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// All present leaves.
    pub leaves: usize,
    /// Those that map persistent memory.
    pub pmem_leaves: usize,
}

/// An audit under way: it is shown every leaf, then asked for the result.
#[derive(Debug)]
struct Auditor<'a> {
    regions: &'a [Region],
    mapped: Vec<u64>,
    audit: Audit,
    first_error: Option<AuditError>,
}

impl<'a> Auditor<'a> {
    fn new(regions: &'a [Region]) -> Self {
        Self { regions, mapped: vec![0; regions.len()], audit: Audit::default(), first_error: None }
    }

    fn see(&mut self, leaf: Leaf) {
        self.audit.leaves += 1;
        if let Err(error) = self.judge(leaf) {
            self.first_error.get_or_insert(error);
        }
    }

    fn judge(&mut self, leaf: Leaf) -> Result<(), AuditError> {
        let executable = !leaf.flags.contains(PageTableFlags::NO_EXECUTE);
        if executable && leaf.flags.contains(PageTableFlags::WRITABLE) {
            return Err(AuditError::Executable(leaf));
        }
        let physical = leaf.physical_address..leaf.physical_address + leaf.size;
        let touched = |region: &Region| region.physical.start < physical.end && physical.start < region.physical.end;
        let user = leaf.flags.contains(PageTableFlags::USER_ACCESSIBLE);
        let Some(device) = self.regions.iter().position(touched) else {
            if user {
                return Err(AuditError::WrongMode(leaf));
            }
            return if key_number(leaf.flags) == 0 { Ok(()) } else { Err(AuditError::StrayKey(leaf)) };
        };
        let region = &self.regions[device];
        self.audit.pmem_leaves += 1;
        let inside = region.physical.start <= physical.start && physical.end <= region.physical.end;
        if !inside || leaf.virtual_address != region.window + (physical.start - region.physical.start) {
            return Err(AuditError::Alias(leaf));
        }
        if key_number(leaf.flags) != region.key {
            return Err(AuditError::WrongKey { leaf, expected: region.key });
        }
        if user != region.user {
            return Err(AuditError::WrongMode(leaf));
        }
        if executable {
            return Err(AuditError::Executable(leaf));
        }
        if leaf.flags.intersects(PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH) {
            return Err(AuditError::Uncached(leaf));
        }
        self.mapped[device] += leaf.size;
        Ok(())
    }

    fn finish(self) -> Result<Audit, AuditError> {
        if let Some(error) = self.first_error {
            return Err(error);
        }
        for (device, (region, mapped)) in self.regions.iter().zip(self.mapped).enumerate() {
            if mapped != region.physical.end - region.physical.start {
                return Err(AuditError::Incomplete { device, mapped });
            }
        }
        Ok(self.audit)
    }
}

/// Checks that exactly the leaves that map one of the `regions` carry its key, that each byte of it is mapped once and
/// whole, and that nothing is writable and executable. `walk` calls its argument for each present leaf.
pub fn check(regions: &[Region], walk: impl FnOnce(&mut dyn FnMut(Leaf))) -> Result<Audit, AuditError> {
    let mut auditor = Auditor::new(regions);
    walk(&mut |leaf| auditor.see(leaf));
    auditor.finish()
}

/// [`check`]s this machine's page tables, all of them, against its devices.
#[cfg(target_os = "hermit")]
pub fn audit() -> Result<Audit, AuditError> {
    check(&super::device::regions(), |see| crate::mm::with_leaves(see))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dax::{KeyAllocator, Protection};
    use crate::mm::attributes::Attributes;

    const WINDOW: u64 = 0x1000_0000_0000;
    const PHYSICAL: u64 = 0x1_0000_0000;
    const PAGE: u64 = 4096;

    fn region() -> Region {
        Region { physical: PHYSICAL..PHYSICAL + 2 * PAGE, window: WINDOW, key: 1, user: false }
    }

    fn leaf(virtual_address: u64, physical_address: u64, attributes: Attributes) -> Leaf {
        Leaf { virtual_address, physical_address, size: PAGE, flags: attributes.flags() }
    }

    fn run(leaves: &[Leaf]) -> Result<Audit, AuditError> {
        check(&[region()], |see| leaves.iter().for_each(|&leaf| see(leaf)))
    }

    fn keyed() -> Attributes {
        Attributes::pmem(Protection::Pks, KeyAllocator::new().allocate().ok(), false)
    }

    fn good() -> [Leaf; 3] {
        [
            leaf(PAGE, PAGE, Attributes::DATA),
            leaf(WINDOW, PHYSICAL, keyed()),
            leaf(WINDOW + PAGE, PHYSICAL + PAGE, keyed()),
        ]
    }

    #[test]
    fn a_device_mapped_once_under_its_key_passes() {
        assert_eq!(run(&good()), Ok(Audit { leaves: 3, pmem_leaves: 2 }));
    }

    #[test]
    fn each_kind_of_mistake_is_found() {
        let [_, first, second] = good();
        let open = leaf(WINDOW, PHYSICAL, Attributes::DATA);
        assert_eq!(run(&[open, second]), Err(AuditError::WrongKey { leaf: open, expected: 1 }));
        let alias = leaf(PHYSICAL, PHYSICAL, keyed());
        assert_eq!(run(&[first, second, alias]), Err(AuditError::Alias(alias)));
        let stray = leaf(PAGE, PAGE, keyed());
        assert_eq!(run(&[first, second, stray]), Err(AuditError::StrayKey(stray)));
        assert_eq!(run(&[first]), Err(AuditError::Incomplete { device: 0, mapped: PAGE }));
        let code = leaf(WINDOW, PHYSICAL, Attributes::CODE);
        assert!(run(&[code, second]).is_err());
        let uncached = Leaf { flags: first.flags | PageTableFlags::NO_CACHE, ..first };
        assert_eq!(run(&[uncached, second]), Err(AuditError::Uncached(uncached)));
        let user = Leaf { flags: first.flags | PageTableFlags::USER_ACCESSIBLE, ..first };
        assert_eq!(run(&[user, second]), Err(AuditError::WrongMode(user)));
        let both = Leaf { flags: PageTableFlags::PRESENT | PageTableFlags::WRITABLE, ..stray };
        assert_eq!(run(&[first, second, both]), Err(AuditError::Executable(both)));
        let straddling = Leaf { size: 4 * PAGE, ..first };
        assert_eq!(run(&[straddling]), Err(AuditError::Alias(straddling)));
    }
}
