//! Persistent-memory devices: one mapping each, one key each.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::grant::ReadLock;
use super::handler::{self, FaultHandler};
use super::keys::{Key, KeyAllocator, NoKeyLeft};
use super::{Protection, audit};
use crate::arch::cpu;
use crate::arch::dax_copy::WriteBack;
use crate::drivers::nfit::SpaRange;
use crate::mm::attributes::Attributes;
use crate::mm::page_table::MapError;
use crate::mm::{self, layout, map_pmem};
use crate::sync::Once;
use crate::task::WaitQueue;

/// A persistent-memory device, mapped once.
#[derive(Debug)]
pub struct Device {
    name: String,
    /// Its place in [`devices`].
    index: usize,
    physical: Range<u64>,
    start: u64,
    key: Option<Key>,
    protection: Protection,
    write_back: WriteBack,
    read_only: bool,
    /// Cleared when the device goes away; nobody enters a section after that.
    /// The address of the [`FaultHandler`] for its key; 0 if there is none.
    fault_handler: AtomicUsize,
    alive: AtomicBool,
    /// How many sections are held.
    sections: AtomicU32,
    /// Wakes whoever waits for the last section to end.
    section_ended: WaitQueue,
}

static DEVICES: Once<Vec<Device>> = Once::new();

/// Every device of this machine, in the order of their physical addresses. Empty before the boot has found them.
pub fn devices() -> &'static [Device] {
    DEVICES.get().map_or(&[], Vec::as_slice)
}

/// The device has gone away: the machine is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceGone;

impl fmt::Display for DeviceGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the persistent-memory device has gone away")
    }
}

impl core::error::Error for DeviceGone {}

/// Why a device could not be taken into use.
#[derive(Debug)]
pub(crate) enum RegisterError {
    NoKeyLeft(NoKeyLeft),
    Map(MapError),
    TooHigh(u64),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyLeft(error) => error.fmt(f),
            Self::Map(error) => error.fmt(f),
            Self::TooHigh(base) => {
                write!(f, "persistent memory at {base:#x} is beyond what {} can map", mm::mode().levels)
            }
        }
    }
}

/// Maps every range, each under a key of its own, and makes the devices known.
pub(crate) fn register(ranges: &[SpaRange], protection: Protection) -> Result<&'static [Device], RegisterError> {
    let mut keys = KeyAllocator::new();
    let mut devices = Vec::with_capacity(ranges.len());
    for (index, range) in ranges.iter().enumerate() {
        if range.base + range.length > layout::pmem_physical_end(mm::mode().levels) {
            return Err(RegisterError::TooHigh(range.base));
        }
        let key = match protection {
            Protection::Pks | Protection::Pku => Some(keys.allocate().map_err(RegisterError::NoKeyLeft)?),
            Protection::None => None,
        };
        let physical = range.base..range.base + range.length;
        let start = map_pmem(physical.clone(), Attributes::pmem(protection, key, range.read_only))
            .map_err(RegisterError::Map)?;
        devices.push(Device {
            name: format!("pmem{index}"),
            index,
            physical,
            start,
            key,
            protection,
            write_back: cpu::write_back_instruction(),
            read_only: range.read_only,
            fault_handler: AtomicUsize::new(0),
            alive: AtomicBool::new(true),
            sections: AtomicU32::new(0),
            section_ended: WaitQueue::new(),
        });
    }
    let devices = DEVICES.call_once(|| devices);
    for device in devices {
        if let Some(key) = device.key {
            handler::set_owner(key, device);
        }
    }
    Ok(devices)
}

/// Makes every device go away: nobody may enter a section any more, and those who are in one have until `deadline`, in
/// nanoseconds since boot, to leave it.
pub(crate) fn retire_all(deadline: u64) {
    for device in devices() {
        device.alive.store(false, Ordering::SeqCst);
    }
    for device in devices() {
        let ended = || (device.sections.load(Ordering::SeqCst) == 0).then_some(());
        // A section that outlives the deadline belongs to a thread that hangs: what it has not fenced, it never
        // acknowledged.
        let _ = device.section_ended.wait_until(Some(deadline), ended);
    }
}

impl Device {
    /// The device's name, `pmem0` for the first.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a device is never empty")]
    pub fn len(&self) -> u64 {
        self.physical.end - self.physical.start
    }

    /// What keeps the device closed.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// The number of the device's protection key, 1 to 15; `None` without protection.
    pub fn key(&self) -> Option<u8> {
        self.key.map(Key::number)
    }

    /// The instruction that writes the device's cache lines back.
    pub fn write_back_instruction(&self) -> WriteBack {
        self.write_back
    }

    /// Whether the platform said that stores would not be kept (NFIT: not armed), so that the mapping is read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The device's addresses. Touching them without a grant faults: this is for audits and reports.
    pub fn address_range(&self) -> Range<u64> {
        self.start..self.start + self.len()
    }

    /// The device's physical addresses.
    pub(super) fn physical_range(&self) -> Range<u64> {
        self.physical.clone()
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn protection_key(&self) -> Option<Key> {
        self.key
    }

    /// Sets who decides about faults on this device; without a handler the fault policy does.
    pub fn set_fault_handler(&self, handler: Option<FaultHandler>) {
        self.fault_handler.store(handler.map_or(0, |handler| handler as usize), Ordering::Release);
    }

    pub(super) fn fault_handler(&self) -> Option<FaultHandler> {
        let handler = self.fault_handler.load(Ordering::Acquire);
        // SAFETY: only `set_fault_handler` stores there; what is not 0 is the address of a `FaultHandler`.
        (handler != 0).then(|| unsafe { core::mem::transmute::<usize, FaultHandler>(handler) })
    }

    /// Enters a section in which the device cannot go away. It gives no permission: see [`ReadLock::read`] and
    /// [`ReadLock::write`].
    pub fn read_lock(&self) -> Result<ReadLock<'_>, DeviceGone> {
        self.sections.fetch_add(1, Ordering::SeqCst);
        let lock = ReadLock::new(self);
        // Counted first, looked at second: whoever retires the device clears the flag first and reads the count second.
        if self.alive.load(Ordering::SeqCst) { Ok(lock) } else { Err(DeviceGone) }
    }

    pub(super) fn leave_section(&self) {
        if self.sections.fetch_sub(1, Ordering::SeqCst) == 1 && !self.alive.load(Ordering::SeqCst) {
            self.section_ended.wake_all();
        }
    }
}

/// The parts of the address space that the audit expects.
pub(super) fn regions() -> Vec<audit::Region> {
    let region = |device: &Device| audit::Region {
        physical: device.physical_range(),
        window: device.start,
        user: device.protection == Protection::Pku,
        key: device.key().unwrap_or(0),
        read_only: device.read_only,
    };
    devices().iter().map(region).collect()
}

/// Whether any byte of this physical range is a device's.
pub(crate) fn overlaps(range: &Range<u64>) -> bool {
    devices().iter().any(|device| device.physical.start < range.end && range.start < device.physical.end)
}

impl fmt::Display for Device {
    /// The line with which the boot names the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size, start) = (&self.name, crate::units::Bytes(self.len()), self.start);
        write!(f, "{name} {size} at {start:#x}")?;
        match self.key() {
            Some(key) => write!(f, " key {key}")?,
            None => f.write_str(" no key")?,
        }
        write!(f, " protection {} {}", self.protection, self.write_back)?;
        if self.read_only { f.write_str(" read-only: the platform would not keep stores") } else { Ok(()) }
    }
}
