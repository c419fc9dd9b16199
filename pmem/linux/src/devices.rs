//! The devices that are open in this process: where they are mapped, under which keys, and their names.
//!
//! A table of a fixed size, made of atomics, so that a signal handler can read it at any moment: it finds an entry as
//! it is or none, and at worst a garbled name, of a device that is just going away.

use std::fmt;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering};

use libos_contract::rights::Key;

/// The most devices at a time.
pub const MOST: usize = 64;
/// As much of a name is kept. The end of a longer one says more than its start.
const NAME: usize = 256;
/// In place of a key's number: the device has none.
const NO_KEY: u8 = 0;

/// A place for a device. It has one while its length is not 0, and is free while it is not taken.
struct Place {
    taken: AtomicBool,
    start: AtomicUsize,
    len: AtomicUsize,
    key: AtomicU8,
    /// The file's descriptor.
    file: AtomicI32,
    name: [AtomicU8; NAME],
    name_len: AtomicUsize,
    /// Who decides about its faults: an address, which means something to `fault` alone; 0 for nobody.
    decider: AtomicUsize,
}

impl Place {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            key: AtomicU8::new(NO_KEY),
            file: AtomicI32::new(-1),
            name: [const { AtomicU8::new(0) }; NAME],
            name_len: AtomicUsize::new(0),
            decider: AtomicUsize::new(0),
        }
    }
}

static PLACES: [Place; MOST] = [const { Place::new() }; MOST];

/// A device's entry; it is taken out when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry(usize);

impl Entry {
    /// Enters a device that is mapped at these addresses; nothing if [`MOST`] are there.
    pub(crate) fn new(addresses: Range<usize>, key: Option<Key>, file: RawFd, name: &str) -> Option<Self> {
        let free = |place: &Place| !place.taken.swap(true, Ordering::Acquire);
        let index = PLACES.iter().position(free)?;
        let place = &PLACES[index];
        let mut start = name.len().saturating_sub(NAME);
        while !name.is_char_boundary(start) {
            start += 1;
        }
        let name = &name.as_bytes()[start..];
        for (to, &byte) in place.name.iter().zip(name) {
            to.store(byte, Ordering::Relaxed);
        }
        place.name_len.store(name.len(), Ordering::Relaxed);
        place.key.store(key.map_or(NO_KEY, Key::number), Ordering::Relaxed);
        place.file.store(file, Ordering::Relaxed);
        let entry = Self(index);
        entry.is_mapped_at(addresses);
        Some(entry)
    }

    /// The device is mapped at these addresses from now on.
    pub(crate) fn is_mapped_at(&self, addresses: Range<usize>) {
        let place = &PLACES[self.0];
        place.len.store(0, Ordering::Release);
        place.start.store(addresses.start, Ordering::Release);
        place.len.store(addresses.len(), Ordering::Release);
    }

    /// What the table says of it.
    pub(crate) fn device(&self) -> OpenDevice {
        OpenDevice(self.0)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let place = &PLACES[self.0];
        place.len.store(0, Ordering::Release);
        // The next device here has nobody yet.
        place.decider.store(0, Ordering::Relaxed);
        place.taken.store(false, Ordering::Release);
    }
}

/// A device that is open, as the table has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenDevice(usize);

impl OpenDevice {
    /// Its place in the table.
    pub fn index(self) -> usize {
        self.0
    }

    /// Where it is mapped.
    pub fn addresses(self) -> Range<usize> {
        let place = &PLACES[self.0];
        let len = place.len.load(Ordering::Acquire);
        let start = place.start.load(Ordering::Acquire);
        start..start + len
    }

    /// The key that guards it.
    pub fn key(self) -> Option<Key> {
        Key::from_number(PLACES[self.0].key.load(Ordering::Relaxed))
    }

    /// Its file's descriptor, which is open as long as the device is.
    pub(crate) fn file(self) -> RawFd {
        PLACES[self.0].file.load(Ordering::Relaxed)
    }

    /// Where it is kept who decides about its faults. It ends with the device.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    pub(crate) fn decider(self) -> &'static AtomicUsize {
        &PLACES[self.0].decider
    }

    /// Its name, or what of it is valid.
    pub fn name(self) -> Name {
        let place = &PLACES[self.0];
        let mut bytes = std::array::from_fn(|index| place.name[index].load(Ordering::Relaxed));
        let len = place.name_len.load(Ordering::Relaxed).min(NAME);
        let len = str::from_utf8(&bytes[..len]).map_or_else(|error| error.valid_up_to(), str::len);
        bytes[len..].fill(0);
        Name { bytes, len }
    }
}

/// The name of a device, copied from the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME],
    len: usize,
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place in the table with this number, which may be free by now.
pub(crate) fn at(index: usize) -> Option<OpenDevice> {
    (index < MOST).then_some(OpenDevice(index))
}

/// All devices.
pub fn all() -> impl Iterator<Item = OpenDevice> {
    (0..MOST).map(OpenDevice).filter(|device| !device.addresses().is_empty())
}

/// The keys of all devices.
pub(crate) fn keys() -> impl Iterator<Item = Key> {
    all().filter_map(OpenDevice::key)
}

/// The device that this address belongs to.
pub fn device_at(address: usize) -> Option<OpenDevice> {
    all().find(|device| device.addresses().contains(&address))
}

/// The device that the key with this number guards.
pub fn owner_of(key: u8) -> Option<OpenDevice> {
    all().find(|device| device.key().is_some_and(|its| its.number() == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses that nothing is mapped at, so that no other test's device is found there.
    const START: usize = 0x7fff_0000_0000_0000;

    #[test]
    fn a_device_is_found_by_its_addresses_and_by_its_key_while_it_is_there() {
        let key = Key::from_number(15);
        let entry = Entry::new(START..START + 10, key, -1, "a/b").unwrap();
        let device = device_at(START + 9).unwrap();
        assert_eq!((device, owner_of(15), device.key()), (entry.device(), Some(device), key));
        assert_eq!((device.name().to_string(), device.addresses()), ("a/b".to_owned(), START..START + 10));
        assert_eq!((device_at(START + 10), device_at(START - 1), owner_of(14)), (None, None, None));
        entry.is_mapped_at(START + 100..START + 120);
        assert_eq!((device_at(START), device_at(START + 119)), (None, Some(device)));
        drop(entry);
        assert_eq!((device_at(START + 100), owner_of(15)), (None, None));
    }

    #[test]
    fn of_a_long_name_the_end_is_kept() {
        let at = START + 0x1000;
        let entry = Entry::new(at..at + 1, None, -1, &format!("ä{}", "b".repeat(NAME - 1))).unwrap();
        assert_eq!(entry.device().name().to_string(), "b".repeat(NAME - 1));
        assert_eq!(entry.device().key(), None);
    }
}
