//! Whether protection itself was as it should be: what makes a store outside of an open grant impossible.
//!
//! Four things decide about each store: the bit of CR4 that turns keys on, CR0.WP, the key in the leaf that maps the
//! address, and the rights in the register. They are looked at from outside, before the fault and at the run's end.
//! What this proves has a limit: a thing that changed and changed back in between is not seen.

use std::collections::BTreeSet;
use std::ops::Range;

use libos_contract::rights::{Access, Rights};
use serde::{Deserialize, Serialize};
use xtask::qemu::Protection;

use super::memory::{Leaf, Snapshot};
use super::rights::RightsRegister;
use crate::gdb::{Gdb, Register, Result};

/// The keys of the two devices, given out in their order.
pub const POOL_KEY: u8 = 1;
/// See above.
pub const CANARY_KEY: u8 = 2;
const CR0_WP: u64 = 1 << 16;
const CR4_PKE: u64 = 1 << 22;
const CR4_PKS: u64 = 1 << 24;
/// Where persistent memory is mapped.
const PMEM_WINDOW: Range<u64> = 0x1000_0000_0000..0x6000_0000_0000;

/// What was found, on every CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// The rights of each CPU; those of one that waits with its interrupts off cannot be read.
    pub rights: Vec<Option<u32>>,
    /// What is not as it should be.
    pub broken: Vec<String>,
}

/// How persistent memory is mapped when all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping(BTreeSet<Leaf>);

impl Mapping {
    /// Every leaf that maps persistent memory, or carries a key.
    pub fn of(snapshot: &Snapshot) -> Self {
        let physical: Vec<Range<u64>> = snapshot
            .leaves()
            .iter()
            .filter(|leaf| PMEM_WINDOW.contains(&leaf.virtual_address))
            .map(|leaf| leaf.physical_address..leaf.physical_address + leaf.size)
            .collect();
        let concerns = |leaf: &&Leaf| {
            let end = leaf.physical_address + leaf.size;
            leaf.key != 0 || physical.iter().any(|range| range.start < end && leaf.physical_address < range.end)
        };
        Self(snapshot.leaves().iter().filter(concerns).copied().collect())
    }

    /// The last page of persistent memory: the canary's, which is behind the pool's device. 0 when there is none.
    pub fn last(&self) -> u64 {
        let mapped = self.0.iter().map(|leaf| leaf.virtual_address);
        mapped.filter(|address| PMEM_WINDOW.contains(address)).max().unwrap_or(0)
    }

    /// What is mapped otherwise in `now`: leaves that are gone (a store there faults and reaches nothing) do not count.
    fn new_leaves(&self, now: &Snapshot) -> Vec<String> {
        // Aliases of what was persistent memory count, even if what is in the window now is something else.
        let known: Vec<Range<u64>> =
            self.0.iter().map(|leaf| leaf.physical_address..leaf.physical_address + leaf.size).collect();
        let concerns = |leaf: &&Leaf| {
            let end = leaf.physical_address + leaf.size;
            leaf.key != 0 || known.iter().any(|range| range.start < end && leaf.physical_address < range.end)
        };
        let fresh = now.leaves().iter().filter(concerns).filter(|leaf| !self.0.contains(leaf));
        fresh.map(|leaf| format!("{:#x} is mapped otherwise: {leaf:x?}", leaf.virtual_address)).collect()
    }
}

impl Integrity {
    /// Looks at a guest that stands still.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn check(
        gdb: &mut Gdb,
        register: &RightsRegister,
        protection: Protection,
        mapping: &Mapping,
        snapshot: &Snapshot,
    ) -> Result<Self> {
        let mut integrity = Self::default();
        let bit = if protection == Protection::Pku { CR4_PKE } else { CR4_PKS };
        for cpu in gdb.cpus()? {
            gdb.select(cpu)?;
            let registers = gdb.registers()?;
            if registers.get(Register::CR4) & bit == 0 {
                integrity.broken.push(format!("cpu {cpu}: keys are off in CR4"));
            }
            if registers.get(Register::CR0) & CR0_WP == 0 {
                integrity.broken.push(format!("cpu {cpu}: CR0.WP is clear"));
            }
            let rights = register.value(gdb, cpu)?;
            match rights.map(|rights| rights.access(CANARY_KEY)) {
                Some(Access::Closed) => {}
                Some(open) => integrity.broken.push(format!("cpu {cpu}: the canary's key is open: {open:?}")),
                // It executes nothing any more, whatever its rights are.
                None if gdb.is_idle(cpu)? => {}
                None => integrity.broken.push(format!("cpu {cpu}: the rights cannot be read")),
            }
            integrity.rights.push(rights.map(Rights::bits));
        }
        integrity.broken.extend(mapping.new_leaves(snapshot));
        Ok(integrity)
    }

    /// Whether all was as it should be.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// What the rights allow on the device of the pool, on the CPU with this number from 1.
    pub fn pool_access(&self, cpu: u32) -> Option<Access> {
        let rights = self.rights.get(cpu as usize - 1).copied().flatten();
        rights.map(|rights| Rights::from_bits(rights).access(POOL_KEY))
    }
}
