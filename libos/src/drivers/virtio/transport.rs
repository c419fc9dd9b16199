//! The modern PCI transport (VIRTIO 1.2, section 4.1): where a device's registers are, and how it is started.

use core::fmt;

use crate::drivers::pci::{ConfigSpace, Function, VENDOR_SPECIFIC};

/// A structure of registers in a memory region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub bar: u8,
    pub offset: u32,
    pub len: u32,
}

/// Where the structures are that a driver needs (section 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub common: Location,
    pub notify: Location,
    /// Bytes between the notification registers of one queue and of the next.
    pub notify_multiplier: u32,
    pub device: Location,
}

const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

impl Layout {
    /// Reads a function's capabilities. Of several structures of a kind the first counts (section 4.1.4.1).
    pub fn find<C: ConfigSpace>(function: &Function<'_, C>) -> Option<Self> {
        let mut found = [None; 5];
        let mut notify_multiplier = 0;
        for capability in function.capabilities().filter(|capability| capability.id == VENDOR_SPECIFIC) {
            // The capability is 16 bytes long, or 20 for notifications.
            let Some(last) = capability.offset.checked_add(12) else { continue };
            let head = function.read(capability.offset);
            let (kind, bar) = ((head >> 24) as u8, function.read(capability.offset + 4) as u8);
            let (offset, len) = (function.read(capability.offset + 8), function.read(last));
            let Some(slot) = found.get_mut(usize::from(kind)) else { continue };
            if slot.is_none() && bar <= 5 {
                *slot = Some(Location { bar, offset, len });
                if kind == NOTIFY {
                    notify_multiplier = function.read(last.checked_add(4)?);
                }
            }
        }
        Some(Self {
            common: found[usize::from(COMMON)]?,
            notify: found[usize::from(NOTIFY)]?,
            notify_multiplier,
            device: found[usize::from(DEVICE)]?,
        })
    }
}

/// Why a device was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It has not the registers that the specification asks for.
    Registers,
    /// It does not speak virtio 1.
    Legacy,
    /// It did not accept what it had offered itself.
    Features,
    /// A queue that the driver needs is missing or was refused.
    Queue,
    /// There is no memory for the queues.
    Memory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registers => "its registers are missing or out of place",
            Self::Legacy => "it speaks only the legacy protocol; QEMU: disable-legacy=on",
            Self::Features => "it does not accept the features that it offered",
            Self::Queue => "a queue is missing or was refused",
            Self::Memory => "there is no memory for its queues",
        })
    }
}

#[cfg(target_os = "hermit")]
pub use guest::{Registers, Transport};

#[cfg(target_os = "hermit")]
mod guest {
    use core::ptr::NonNull;

    use volatile::VolatilePtr;

    use super::super::queue::Queue;
    use super::{ConfigSpace, Function, Layout, Location, StartError};
    use crate::addr::PhysAddr;
    use crate::drivers::pci::{ENTRY_LEN, MsixCapability, entry};
    use crate::mm::map_mmio;

    // The common configuration structure (section 4.1.4.3).
    const DEVICE_FEATURE_SELECT: usize = 0;
    const DEVICE_FEATURE: usize = 4;
    const DRIVER_FEATURE_SELECT: usize = 8;
    const DRIVER_FEATURE: usize = 12;
    const DEVICE_STATUS: usize = 20;
    const QUEUE_SELECT: usize = 22;
    const QUEUE_SIZE: usize = 24;
    const QUEUE_VECTOR: usize = 26;
    const QUEUE_ENABLE: usize = 28;
    const QUEUE_NOTIFY_OFFSET: usize = 30;
    const QUEUE_ADDRESSES: [usize; 3] = [32, 40, 48];
    const COMMON_LEN: u32 = 56;

    // The device status (section 2.1).
    const ACKNOWLEDGE: u8 = 1;
    const DRIVER: u8 = 2;
    const DRIVER_OK: u8 = 4;
    const FEATURES_OK: u8 = 8;
    const FAILED: u8 = 128;

    /// The device conforms to virtio 1.
    const VERSION_1: u64 = 1 << 32;
    /// How often a reset device is asked whether it is ready; one needs microseconds.
    const RESET_TRIES: u32 = 1_000_000;

    /// A mapped piece of a memory region.
    #[derive(Clone, Copy)]
    pub struct Registers {
        base: NonNull<u8>,
        len: usize,
    }

    // SAFETY: device registers have no thread affinity; whoever shares them argues about the order of accesses.
    unsafe impl Send for Registers {}
    // SAFETY: as for `Send`.
    unsafe impl Sync for Registers {}

    impl Registers {
        fn at<T: Copy>(&self, offset: usize) -> VolatilePtr<'_, T> {
            assert!(offset <= self.len && size_of::<T>() <= self.len - offset, "a register lies within its structure");
            assert!((self.base.as_ptr() as usize + offset).is_multiple_of(align_of::<T>()), "a register is aligned");
            // SAFETY: the registers are mapped for ever; `offset` was checked against their length and alignment.
            unsafe { VolatilePtr::new(self.base.add(offset).cast()) }
        }

        pub fn read<T: Copy>(&self, offset: usize) -> T {
            self.at(offset).read()
        }

        pub fn write<T: Copy>(&self, offset: usize, value: T) {
            self.at(offset).write(value);
        }
    }

    /// A device that is being started.
    pub struct Transport {
        common: Registers,
        notify: Registers,
        notify_multiplier: u32,
        device: Registers,
        /// The MSI-X table, if interrupts are available.
        msix: Option<Registers>,
    }

    /// Maps memory regions, each once.
    struct Regions<'a, 'f, C: ConfigSpace> {
        function: &'a Function<'f, C>,
        mapped: [Option<Registers>; 6],
    }

    impl<C: ConfigSpace> Regions<'_, '_, C> {
        fn part(&mut self, location: Location) -> Option<Registers> {
            let slot = self.mapped.get_mut(usize::from(location.bar))?;
            let whole = match *slot {
                Some(whole) => whole,
                None => {
                    // Devices have a few pages of registers; a claim of more is not believed.
                    let bar = self
                        .function
                        .bar(location.bar)
                        .filter(|bar| bar.address != PhysAddr::ZERO && bar.len <= 1 << 24)?;
                    let whole =
                        Registers { base: map_mmio(bar.address, bar.len as usize).ok()?, len: bar.len as usize };
                    *slot.insert(whole)
                }
            };
            let (offset, len) = (location.offset as usize, location.len as usize);
            if offset > whole.len || len > whole.len - offset || !offset.is_multiple_of(4) {
                return None;
            }
            // SAFETY: `offset` is within the mapped region.
            Some(Registers { base: unsafe { whole.base.add(offset) }, len })
        }
    }

    impl Transport {
        /// Finds and maps a device's registers, and resets it.
        pub fn new<C: ConfigSpace>(function: &Function<'_, C>) -> Result<Self, StartError> {
            let layout = Layout::find(function).ok_or(StartError::Legacy)?;
            let mut regions = Regions { function, mapped: [None; 6] };
            let mut part = |location| regions.part(location).ok_or(StartError::Registers);
            let (common, notify, device) = (part(layout.common)?, part(layout.notify)?, part(layout.device)?);
            if layout.common.len < COMMON_LEN {
                return Err(StartError::Registers);
            }
            let msix = MsixCapability::find(function).and_then(|capability| {
                let len = u32::from(capability.entries) * ENTRY_LEN as u32;
                let table =
                    regions.part(Location { bar: capability.table_bar, offset: capability.table_offset, len })?;
                capability.enable(function);
                Some(table)
            });
            function.enable();
            let transport = Self { common, notify, notify_multiplier: layout.notify_multiplier, device, msix };
            transport.set_status(0);
            if !(0..RESET_TRIES).any(|_| transport.status() == 0) {
                return Err(StartError::Registers);
            }
            transport.set_status(ACKNOWLEDGE);
            transport.set_status(ACKNOWLEDGE | DRIVER);
            Ok(transport)
        }

        fn status(&self) -> u8 {
            self.common.read(DEVICE_STATUS)
        }

        fn set_status(&self, status: u8) {
            self.common.write(DEVICE_STATUS, status);
        }

        /// Accepts what is `wanted` of the features that the device offers. Returns what was agreed on.
        pub fn negotiate(&self, wanted: impl FnOnce(u64) -> u64) -> Result<u64, StartError> {
            let mut offered = 0u64;
            for half in [0, 1] {
                self.common.write(DEVICE_FEATURE_SELECT, half);
                offered |= u64::from(self.common.read::<u32>(DEVICE_FEATURE)) << (32 * half);
            }
            if offered & VERSION_1 == 0 {
                return Err(StartError::Legacy);
            }
            let agreed = offered & (wanted(offered) | VERSION_1);
            for half in [0, 1] {
                self.common.write(DRIVER_FEATURE_SELECT, half);
                self.common.write(DRIVER_FEATURE, (agreed >> (32 * half)) as u32);
            }
            self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
            if self.status() & FEATURES_OK == 0 {
                return Err(StartError::Features);
            }
            Ok(agreed)
        }

        /// The size that a queue may have at most; 0 if it does not exist.
        pub fn max_queue_size(&self, queue: u16) -> u16 {
            self.common.write(QUEUE_SELECT, queue);
            self.common.read(QUEUE_SIZE)
        }

        /// Tells the device where a queue is. Returns the register that notifies it.
        pub fn enable_queue(&self, number: u16, queue: &Queue) -> Result<Registers, StartError> {
            self.common.write(QUEUE_SELECT, number);
            self.common.write(QUEUE_SIZE, queue.size());
            for (register, address) in QUEUE_ADDRESSES.into_iter().zip(queue.addresses()) {
                self.common.write(register, address.as_u64() as u32);
                self.common.write(register + 4, (address.as_u64() >> 32) as u32);
            }
            self.common.write(QUEUE_ENABLE, 1u16);
            let steps = u32::from(self.common.read::<u16>(QUEUE_NOTIFY_OFFSET));
            let offset = steps.checked_mul(self.notify_multiplier).ok_or(StartError::Registers)? as usize;
            if offset + 2 > self.notify.len || !offset.is_multiple_of(2) {
                return Err(StartError::Registers);
            }
            // SAFETY: `offset` is within the mapped structure.
            Ok(Registers { base: unsafe { self.notify.base.add(offset) }, len: 2 })
        }

        /// Lets a queue raise `vector` through entry `index` of the MSI-X table. `false`: it cannot.
        pub fn connect_queue(&self, queue: u16, index: u16, vector: u8) -> bool {
            self.common.write(QUEUE_SELECT, queue);
            self.fill_entry(index, vector) && {
                self.common.write(QUEUE_VECTOR, index);
                self.common.read::<u16>(QUEUE_VECTOR) == index
            }
        }

        fn fill_entry(&self, index: u16, vector: u8) -> bool {
            let Some(table) = self.msix.filter(|table| (usize::from(index) + 1) * ENTRY_LEN <= table.len) else {
                return false;
            };
            let (address, data) = crate::arch::vectors::message_address_data(vector);
            for (word, value) in entry(address, data).into_iter().enumerate() {
                table.write(usize::from(index) * ENTRY_LEN + 4 * word, value);
            }
            true
        }

        /// The device's own configuration structure.
        pub fn device(&self) -> Registers {
            self.device
        }

        /// Everything is set up: the device may begin.
        pub fn begin(&self) {
            self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        }

        /// The driver gives up on the device.
        pub fn fail(&self) {
            self.set_status(FAILED);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::drivers::pci::fake::{Fake, at};

    /// A vendor-specific capability of `kind` at `offset`, the next one at `next`.
    fn capability(offset: u8, next: u8, kind: u8, bar: u32, place: (u32, u32)) -> [(u8, u32); 4] {
        let head = 0x10_0009 | u32::from(next) << 8 | u32::from(kind) << 24;
        [(offset, head), (offset + 4, bar), (offset + 8, place.0), (offset + 12, place.1)]
    }

    #[test]
    fn the_first_structure_of_each_kind_counts() {
        let mut registers: Vec<(u8, u32)> = [(4, 1 << 20), (0x34, 0x40)].into();
        registers.extend(capability(0x40, 0x60, COMMON, 4, (0, 56)));
        registers.extend(capability(0x60, 0x80, NOTIFY, 4, (0x3000, 0x1000)));
        registers.push((0x70, 4));
        registers.extend(capability(0x80, 0xa0, DEVICE, 4, (0x2000, 0x1000)));
        registers.extend(capability(0xa0, 0xb0, COMMON, 2, (0x100, 56)));
        registers.extend(capability(0xb0, 0, 5, 0, (0, 0)));
        let mut fake = Fake::default();
        fake.add(at(0, 2, 0), 0x1041_1af4, &registers);
        let layout = Layout::find(&fake.function(at(0, 2, 0))).unwrap();
        assert_eq!(layout.common, Location { bar: 4, offset: 0, len: 56 });
        assert_eq!(layout.notify, Location { bar: 4, offset: 0x3000, len: 0x1000 });
        assert_eq!(layout.notify_multiplier, 4);
        assert_eq!(layout.device, Location { bar: 4, offset: 0x2000, len: 0x1000 });
        // Without one of them it is no modern device.
        fake.add(at(0, 2, 0), 0x1041_1af4, &registers[..7]);
        assert_eq!(Layout::find(&fake.function(at(0, 2, 0))), None);
    }

    proptest! {
        #[test]
        fn no_capability_list_is_too_strange(registers in proptest::collection::vec(any::<u32>(), 64)) {
            let mut fake = Fake::default();
            // All but the word that says whether there is a function at all.
            let all: Vec<(u8, u32)> = (1..64).map(|i| (i as u8 * 4, registers[i])).collect();
            fake.add(at(0, 0, 0), 1, &all);
            fake.add(at(0, 1, 0), 1, &[&all[..], &[(0, 1), (4, 1 << 20)]].concat());
            for device in 0..2 {
                Layout::find(&fake.function(at(0, device, 0)));
            }
        }
    }
}
