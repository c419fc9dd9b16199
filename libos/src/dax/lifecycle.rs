//! How a device comes into use, goes away, and comes back.
//!
//! Going away frees the device's key for another device, so nothing may be left that opens it. Each context whose
//! rights open a key is inside a section of the device that has the key, which [`Device::retire`] waits for:
//!
//! - A **grant** is a scope inside its section. The register is closed before the section is left.
//! - What a **fault handler** opens for a thread counts as a section of the thread until the thread's rights close it
//!   again.
//! - An **instruction that is let through** counts as a section until the debug exception after it.
//! - A **thread that is ended** leaves its sections after its rights were closed for good.
//! - A **trap handler** has rights of its own, which end with it. If a fault handler opened something for it, it is in
//!   no section for that, but it runs with interrupts disabled, so that its CPU answers the shootdown of the unmapping
//!   only after it.
//!
//! So when no section is left, nobody can enter one, and every CPU has answered, the key is closed in every register
//! and in every saved one. Pointers from old grants lead to a window where nothing is mapped, or, once the device is
//! back, to memory under a key that they have no rights to.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;
use core::time::Duration;

use pmem_medium::DurableBy;

use super::device::{DEVICES, Device, devices};
use super::owners;
use crate::addr::PhysAddr;
use crate::instant::Instant;
use crate::keys::{Key, KeyAllocator, NoKeyLeft, Protection};
use crate::mm::attributes::Attributes;
use crate::mm::layout;
use crate::mm::page_table::MapError;
use crate::sync::IrqLock;
use crate::{mm, task, time};

static KEYS: IrqLock<KeyAllocator> = IrqLock::new(KeyAllocator::new());

/// How long a wait for sections lasts before they are counted again: one that ends in a non-maskable interrupt wakes
/// nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Persistent memory, as the platform describes it.
#[derive(Clone, Debug)]
pub(crate) struct PmemRange {
    /// Where it is, whole pages.
    pub(crate) physical: Range<PhysAddr>,
    /// The platform would not keep stores.
    pub(crate) read_only: bool,
    /// What makes stored bytes durable.
    pub(crate) durable_by: DurableBy,
}

/// Why a device could not be taken into use.
#[derive(Debug)]
pub(crate) enum RegisterError {
    Map(MapError),
    TooHigh(PhysAddr),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => error.fmt(f),
            Self::TooHigh(base) => {
                write!(f, "persistent memory at {base:#x} is beyond what {} can map", mm::mode().levels)
            }
        }
    }
}

/// Why a device did not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// Every key is another device's.
    NoKeyLeft(NoKeyLeft),
    /// It could not be mapped: memory for page tables is full.
    Map(MapError),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyLeft(error) => error.fmt(f),
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AttachError {}

/// Why a device has not gone away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetireError {
    /// This many sections were still held at the deadline. Nobody can enter another one; [`Device::retire`] waits once
    /// more, [`Device::attach`] opens the device again.
    SectionsHeld(u32),
    /// It could not be unmapped.
    Unmap(MapError),
}

impl fmt::Display for RetireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SectionsHeld(count) => write!(f, "{count} sections of the device are still held"),
            Self::Unmap(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RetireError {}

/// Makes a device of every range, each mapped under a key of its own. Those for which no key is left stay detached.
pub(crate) fn register(
    ranges: impl Iterator<Item = PmemRange>,
    protection: Protection,
) -> Result<&'static [Device], RegisterError> {
    let mut all = Vec::new();
    for (index, PmemRange { physical, read_only, durable_by }) in ranges.enumerate() {
        if physical.end > layout::pmem_physical_end(mm::mode().levels) {
            return Err(RegisterError::TooHigh(physical.start));
        }
        all.push(Device::new(format!("pmem{index}"), index, physical, protection, read_only, durable_by));
    }
    mm::set_persistent(all.iter().map(Device::physical_range).collect());
    let all = DEVICES.call_once(|| all);
    for (index, device) in all.iter().enumerate() {
        crate::trace::name_device(index, device.name());
        match device.attach() {
            Ok(()) | Err(AttachError::NoKeyLeft(_)) => {}
            Err(AttachError::Map(error)) => return Err(RegisterError::Map(error)),
        }
    }
    Ok(all)
}

/// Makes every device go away for the end of the machine: nobody may enter a section any more, and those who are in one
/// have until `deadline` to leave it.
pub(crate) fn retire_all(deadline: Instant) {
    for device in devices() {
        device.alive.store(false, Ordering::SeqCst);
    }
    for device in devices() {
        // A section that outlives the deadline belongs to a thread that hangs: what it has not fenced, it never
        // acknowledged.
        let _ = device.wait_for_sections(deadline);
    }
}

impl Device {
    /// Brings the device into use, or back after [`Self::retire`]: maps it under a key that is free, whole and with the
    /// permissions that it had at boot. Does nothing to a device that is in use.
    pub fn attach(&'static self) -> Result<(), AttachError> {
        let _change = self.change.lock();
        if !self.mapped.load(Ordering::Relaxed) {
            let key = match self.protection() {
                Protection::Pks | Protection::Pku => Some(KEYS.lock().allocate().map_err(AttachError::NoKeyLeft)?),
                Protection::None => None,
            };
            let attributes = Attributes::pmem(self.protection(), key, self.is_read_only());
            if let Err(error) = mm::map_pmem(self.physical_range(), attributes) {
                if let Some(key) = key {
                    KEYS.lock().free(key);
                }
                return Err(AttachError::Map(error));
            }
            if let Some(key) = key {
                self.set_key(Some(key));
                owners::set_owner(key, Some(self));
            }
            self.mapped.store(true, Ordering::Relaxed);
        }
        self.alive.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Makes the device go away: from now on nobody enters a section, and those who are in one have until `deadline`
    /// to leave it. Then the device is unmapped on every CPU, and its key is free for
    /// another one. Does nothing more to a device that has gone away. Called by a thread that holds no section of
    /// it.
    pub fn retire(&self, deadline: Instant) -> Result<(), RetireError> {
        let _change = self.change.lock();
        self.alive.store(false, Ordering::SeqCst);
        if !self.mapped.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.wait_for_sections(deadline).map_err(RetireError::SectionsHeld)?;
        // Waits for an answer of every CPU, and so for the end of every trap handler under way.
        mm::unmap_pmem(self.address_range()).map_err(RetireError::Unmap)?;
        self.mapped.store(false, Ordering::Relaxed);
        if let Some(key) = self.protection_key() {
            assert_closed_everywhere(key);
            owners::set_owner(key, None);
            self.set_key(None);
            KEYS.lock().free(key);
        }
        Ok(())
    }

    /// Waits until nobody is in a section; how many there are if that takes longer than until `deadline`.
    fn wait_for_sections(&self, deadline: Instant) -> Result<(), u32> {
        let ended = || (self.sections.load(Ordering::SeqCst) == 0).then_some(());
        loop {
            let now = time::now();
            if self.section_ended.wait_until(Some(deadline.min(now + LOOK_AGAIN)), ended).is_ok() {
                return Ok(());
            }
            if deadline <= now {
                return Err(self.sections.load(Ordering::SeqCst));
            }
        }
    }
}

/// In debug builds: looks at the rights of every CPU and of every thread that does not run.
fn assert_closed_everywhere(key: Key) {
    debug_assert!(!crate::arch::key_rights::is_open_on_any_cpu(key), "a CPU has rights to a key that is being freed");
    debug_assert_eq!(task::thread_with_rights_to(key), None, "a thread has rights to a key that is being freed");
}
