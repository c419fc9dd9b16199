//! Which device owns each key: what leads from a leaf, and from a register of rights, back to a device.

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::device::Device;
use crate::addr::VirtAddr;
use crate::keys::{Key, Rights};
use crate::mm;

/// The device that owns each key.
static OWNERS: [AtomicPtr<Device>; 16] = [const { AtomicPtr::new(ptr::null_mut()) }; 16];

/// Makes the device the key's owner, or nobody.
pub(super) fn set_owner(key: Key, device: Option<&'static Device>) {
    let device = device.map_or(ptr::null(), ptr::from_ref);
    OWNERS[usize::from(key.number())].store(device.cast_mut(), Ordering::Release);
}

/// The device whose key the leaf that maps this address carries.
pub(super) fn owner_of_address(address: VirtAddr) -> Option<&'static Device> {
    owner(mm::translate(address)?.flags.key())
}

/// The owner of the key with this number.
pub(super) fn owner(key: u8) -> Option<&'static Device> {
    // SAFETY: only `set_owner` stores there, and what it stores is a `&'static Device`.
    unsafe { OWNERS[usize::from(key & 15)].load(Ordering::Acquire).as_ref() }
}

/// Writes rights, with the names of the devices whose keys are open, as a fault report shows them.
pub(crate) fn write_rights(rights: Rights, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    rights.describe(f, |key| owner(key).map(Device::name))
}
