//! Persistent-memory devices: one mapping each, one key each.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use pmem_medium::{DurableBy, SharedCounters};

use super::media;
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::dax_copy::WriteBack;
use crate::arch::{cpu, percpu};
use crate::keys::{Key, NoKeyLeft, Protection};
use crate::mm;
use crate::sync::{Once, class};
use crate::task::{Mutex, WaitQueue};

/// A persistent-memory device, mapped once.
#[derive(Debug)]
pub struct Device {
    name: String,
    /// Its place in [`devices`].
    index: usize,
    physical: Range<PhysAddr>,
    start: VirtAddr,
    /// The number of its key; 0 if it has none. Changes only while nobody is in a section.
    key: AtomicU8,
    protection: Protection,
    write_back: WriteBack,
    durable_by: DurableBy,
    read_only: bool,
    /// What was done to it since boot.
    pub(super) counters: SharedCounters,
    /// The address of the [`FaultHandler`](super::FaultHandler) for its key; 0 if there is none. Only `handler` stores
    /// there.
    pub(super) fault_handler: AtomicUsize,
    /// Held by whoever attaches or retires the device.
    pub(super) change: Mutex<(), class::Device>,
    /// Changes only with [`Self::change`] held.
    pub(super) mapped: AtomicBool,
    /// Cleared when the device goes away; nobody enters a section after that.
    pub(super) alive: AtomicBool,
    /// How many sections are held.
    pub(super) sections: AtomicU32,
    /// Wakes whoever waits for the last section to end.
    pub(super) section_ended: WaitQueue,
}

pub(super) static DEVICES: Once<Vec<Device>> = Once::new();

/// Every device of this machine, in the order of their physical addresses. Empty before the boot has found them.
pub fn devices() -> &'static [Device] {
    DEVICES.get().map_or(&[], Vec::as_slice)
}

impl Device {
    /// A device that is not in use yet.
    pub(super) fn new(
        name: String,
        index: usize,
        physical: Range<PhysAddr>,
        protection: Protection,
        read_only: bool,
        durable_by: DurableBy,
    ) -> Self {
        Self {
            name,
            index,
            start: mm::pmem_window(&physical),
            physical,
            key: AtomicU8::new(0),
            protection,
            write_back: match durable_by {
                DurableBy::Eadr => WriteBack::Unneeded,
                _ => cpu::write_back_instruction(),
            },
            durable_by,
            read_only,
            counters: SharedCounters::default(),
            fault_handler: AtomicUsize::new(0),
            change: Mutex::new(()),
            mapped: AtomicBool::new(false),
            alive: AtomicBool::new(false),
            sections: AtomicU32::new(0),
            section_ended: WaitQueue::new(),
        }
    }

    /// The device's name, `pmem0` for the first.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's length.
    #[allow(clippy::len_without_is_empty, reason = "a device is never empty")]
    pub fn len(&self) -> u64 {
        self.physical.end - self.physical.start
    }

    /// What keeps the device closed.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// The number of the device's protection key, 1 to 15; `None` without protection, and while the device is not in
    /// use.
    pub fn key(&self) -> Option<u8> {
        self.protection_key().map(Key::number)
    }

    /// What makes a stored cache line of the device reach the persistence domain.
    pub fn write_back_instruction(&self) -> WriteBack {
        self.write_back
    }

    /// What makes stored bytes durable, as the platform says, and so what they survive:
    /// [`DurableBy::durability`].
    pub fn durable_by(&self) -> DurableBy {
        self.durable_by
    }

    /// Whether the platform said that stores would not be kept (NFIT: not armed), so that the mapping is read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The ranges of the device, as offsets, that machine checks have reported as unreadable since boot. Loads from
    /// them fail.
    pub(super) fn unreadable_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let inside = |range: &Range<PhysAddr>| self.physical.contains(&range.start);
        media::BAD.iter().filter(inside).map(|range| range.start - self.physical.start..range.end - self.physical.start)
    }

    /// The first part of a range of offsets that is known to be unreadable.
    pub(super) fn unreadable(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let base = self.physical.start;
        let bad = media::BAD.within(&(base + range.start..base + range.end))?;
        Some(bad.start - base..bad.end - base)
    }

    /// The device's addresses. Touching them without a grant faults: this is for audits and reports.
    pub fn address_range(&self) -> Range<VirtAddr> {
        Range::of(self.start, self.len())
    }

    /// The device's physical addresses.
    pub(super) fn physical_range(&self) -> Range<PhysAddr> {
        self.physical.clone()
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn protection_key(&self) -> Option<Key> {
        Key::from_number(self.key.load(Ordering::Acquire))
    }

    pub(super) fn set_key(&self, key: Option<Key>) {
        self.key.store(key.map_or(0, Key::number), Ordering::Release);
    }

    /// Enters a section on behalf of somebody who leaves it by [`Self::leave_section`]; false if the device has gone
    /// away.
    #[inline]
    pub(super) fn enter_section(&self) -> bool {
        // Counted first, looked at second: whoever retires the device clears the flag first and reads the count second.
        self.sections.fetch_add(1, Ordering::SeqCst);
        let alive = self.alive.load(Ordering::SeqCst);
        if !alive {
            self.leave_section();
        }
        alive
    }

    pub(super) fn leave_section(&self) {
        let last = self.sections.fetch_sub(1, Ordering::SeqCst) == 1 && !self.alive.load(Ordering::SeqCst);
        // A non-maskable interrupt may have come while the queue's lock is held; whoever waits looks again by itself.
        if last && !percpu::in_nmi() {
            self.section_ended.wake_all();
        }
    }

    /// Whether the device is mapped; without that, its addresses are nobody's.
    pub(super) fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Relaxed)
    }
}

/// The device in whose window the address is.
pub(super) fn device_at(address: VirtAddr) -> Option<&'static Device> {
    devices().iter().find(|device| device.address_range().contains(&address))
}

/// Whether this is the address of a byte of a device.
pub(crate) fn is_device_address(address: VirtAddr) -> bool {
    device_at(address).is_some()
}

impl fmt::Display for Device {
    /// The line with which the boot names the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size, start) = (&self.name, crate::units::Bytes(self.len()), self.start);
        write!(f, "{name} {size} at {start:#x}")?;
        if !self.is_mapped() {
            return write!(f, " is not in use: {NoKeyLeft}");
        }
        match self.key() {
            Some(key) => write!(f, " key {key}")?,
            None => f.write_str(" no key")?,
        }
        write!(f, " protection {} {}", self.protection, self.write_back)?;
        if self.read_only { f.write_str(" read-only: the platform would not keep stores") } else { Ok(()) }
    }
}
