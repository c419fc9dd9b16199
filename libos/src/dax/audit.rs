//! The audit: proof, leaf by leaf and register by register, that persistent memory is protected as it should be.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
#[cfg(target_os = "hermit")]
use core::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "hermit")]
use super::device::{Device, devices};
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::CacheTypes;
#[cfg(target_os = "hermit")]
use crate::keys::Protection;
use crate::keys::{KeyRegister, Registers, Rights};
use crate::mm::attributes::Cacheability;
use crate::mm::page_table::Leaf;

/// What one device should look like in the page tables.
#[derive(Clone, Debug)]
pub struct Region {
    /// Where it is.
    pub physical: Range<PhysAddr>,
    /// Where it is mapped.
    pub window: VirtAddr,
    /// The key that its leaves carry; 0 without protection.
    pub key: u8,
    /// Whether its leaves are user pages, as PKU needs them.
    pub user: bool,
    /// Whether nothing of it may be writable. Any part of another device may be write-protected at any time.
    pub read_only: bool,
    /// Whether it is mapped at all. A device that has gone away is mapped nowhere.
    pub mapped: bool,
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
    /// A leaf of a read-only device is writable.
    Writable(Leaf),
    /// A leaf of a device is encrypted: its data would be lost with the machine's keys.
    Encrypted(Leaf),
    /// Leaves are not cached as they say, but by these.
    CacheTypes(CacheTypes),
    /// A CPU does not look at keys.
    KeysOff {
        /// The CPU's number.
        cpu: u32,
    },
    /// A CPU does not look at write protection in ring 0, neither of pages nor of keys.
    WriteProtectOff {
        /// The CPU's number.
        cpu: u32,
    },
    /// A CPU's protection-key register does not hold what the library has put there.
    WrongRights {
        /// The CPU's number.
        cpu: u32,
        /// What it holds.
        holds: Rights,
        /// What it should hold.
        should_hold: Rights,
    },
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
                write!(f, "leaf {:#x} has key {}, not {expected}", leaf.virtual_address, leaf.flags.key())
            }
            Self::Alias(leaf) => {
                write!(f, "leaf {:#x} is an alias of pmem at {:#x}", leaf.virtual_address, leaf.physical_address)
            }
            Self::StrayKey(leaf) => {
                write!(f, "leaf {:#x} has key {} but is not pmem", leaf.virtual_address, leaf.flags.key())
            }
            Self::Executable(leaf) => write!(f, "leaf {:#x} must not be executable", leaf.virtual_address),
            Self::WrongMode(leaf) => {
                write!(f, "leaf {:#x} is on the wrong side of user and supervisor pages", leaf.virtual_address)
            }
            Self::Uncached(leaf) => write!(f, "leaf {:#x} of pmem is not write-back", leaf.virtual_address),
            Self::Writable(leaf) => write!(f, "leaf {:#x} of a read-only device is writable", leaf.virtual_address),
            Self::Encrypted(leaf) => write!(f, "leaf {:#x} of pmem is encrypted", leaf.virtual_address),
            Self::CacheTypes(types) => write!(f, "{types}"),
            Self::KeysOff { cpu } => write!(f, "protection keys are turned off on cpu {cpu}"),
            Self::WriteProtectOff { cpu } => write!(f, "write protection is turned off on cpu {cpu}"),
            Self::WrongRights { cpu, holds, should_hold } => {
                write!(f, "the key register of cpu {cpu} holds {holds}, not {should_hold}")
            }
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
        let executable = leaf.flags.is_executable();
        if executable && leaf.flags.is_writable() {
            return Err(AuditError::Executable(leaf));
        }
        let physical = leaf.physical_addresses();
        let touched = |region: &Region| region.physical.overlaps(&physical);
        let user = leaf.flags.is_user();
        let Some(device) = self.regions.iter().position(touched) else {
            if user {
                return Err(AuditError::WrongMode(leaf));
            }
            return if leaf.flags.key() == 0 { Ok(()) } else { Err(AuditError::StrayKey(leaf)) };
        };
        let region = &self.regions[device];
        self.audit.pmem_leaves += 1;
        let inside = region.physical.covers(&physical);
        if !region.mapped || !inside || leaf.virtual_address != region.window + (physical.start - region.physical.start)
        {
            return Err(AuditError::Alias(leaf));
        }
        if leaf.flags.key() != region.key {
            return Err(AuditError::WrongKey { leaf, expected: region.key });
        }
        if user != region.user {
            return Err(AuditError::WrongMode(leaf));
        }
        if executable {
            return Err(AuditError::Executable(leaf));
        }
        if leaf.flags.cacheability() != Cacheability::WRITE_BACK {
            return Err(AuditError::Uncached(leaf));
        }
        if region.read_only && leaf.flags.is_writable() {
            return Err(AuditError::Writable(leaf));
        }
        if leaf.encryption != 0 {
            return Err(AuditError::Encrypted(leaf));
        }
        self.mapped[device] += leaf.size;
        Ok(())
    }

    fn finish(self) -> Result<Audit, AuditError> {
        if let Some(error) = self.first_error {
            return Err(error);
        }
        for (device, (region, mapped)) in self.regions.iter().zip(self.mapped).enumerate() {
            if region.mapped && mapped != region.physical.length() {
                return Err(AuditError::Incomplete { device, mapped });
            }
        }
        Ok(self.audit)
    }
}

/// Checks that exactly the leaves that map one of the `regions` carry its key, that each byte of it is mapped once and
/// whole, write-back, not encrypted, not executable, and not writable if the device is not; and that nothing at all is
/// writable and executable. It holds whatever pages were split and whatever permissions were changed. `walk` calls its
/// argument for each present leaf.
pub fn check(regions: &[Region], walk: impl FnOnce(&mut dyn FnMut(Leaf))) -> Result<Audit, AuditError> {
    let mut auditor = Auditor::new(regions);
    walk(&mut |leaf| auditor.see(leaf));
    auditor.finish()
}

/// Checks that a CPU enforces what the page tables say, with the rights that the library has given.
pub fn check_registers(registers: &Registers) -> Result<(), AuditError> {
    let cpu = registers.cpu;
    if !registers.write_protect {
        return Err(AuditError::WriteProtectOff { cpu });
    }
    match registers.keys {
        Some(KeyRegister { on: false, .. }) => Err(AuditError::KeysOff { cpu }),
        Some(KeyRegister { holds, should_hold, .. }) if holds != should_hold => {
            Err(AuditError::WrongRights { cpu, holds, should_hold })
        }
        _ => Ok(()),
    }
}

/// Whether somebody asks the CPUs what their registers hold.
#[cfg(target_os = "hermit")]
static CHECKING: AtomicBool = AtomicBool::new(false);

/// The parts of the address space that the audit expects.
#[cfg(target_os = "hermit")]
fn regions() -> Vec<Region> {
    let region = |device: &Device| Region {
        physical: device.physical_range(),
        window: device.address_range().start,
        user: device.protection() == Protection::Pku,
        key: device.key().unwrap_or(0),
        mapped: device.is_mapped(),
        read_only: device.is_read_only(),
    };
    devices().iter().map(region).collect()
}

/// [`check`]s this machine's page tables, all of them, against its devices, that leaves mean what they say, and the
/// registers of every CPU that enforce it ([`check_registers`]). What a CPU has done with its registers and undone
/// before it is asked is not seen; called with interrupts disabled, only this CPU is asked.
#[cfg(target_os = "hermit")]
pub fn audit() -> Result<Audit, AuditError> {
    let types = crate::arch::cpu::cache_types();
    if !types.are_as_expected() {
        return Err(AuditError::CacheTypes(types));
    }
    // With interrupts disabled, no other CPU is asked, and nobody could be waited for.
    let alone = crate::arch::interrupts::are_enabled();
    while alone && CHECKING.swap(true, Ordering::Acquire) {
        crate::task::yield_now();
    }
    let mut registers = Ok(());
    crate::arch::register_check::with_registers(|seen| {
        if registers.is_ok() {
            registers = check_registers(&seen);
        }
    });
    if alone {
        CHECKING.store(false, Ordering::Release);
    }
    registers?;
    check(&regions(), |see| crate::mm::with_leaves(see))
}

#[cfg(test)]
mod tests;
