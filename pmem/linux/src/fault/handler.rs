//! Handlers of one device's faults, with the shape of the guest's (`libos::dax`).

use core::fmt;
use core::mem;
use core::sync::atomic::Ordering;

use libos_contract::rights::{Access, Rights};

use super::frame::Frame;
use crate::devices::{self, OpenDevice};

/// What is to follow a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// What the fault policy says.
    Policy,
    /// The instruction runs again. If the interrupted context's rights would deny it once more, the policy decides
    /// after all: a handler that has changed nothing makes no loop.
    Retry,
}

/// Decides what follows a fault on a device. See `Device::set_fault_handler` for what it may do.
pub type FaultHandler = fn(&mut Fault<'_, '_>) -> FaultAction;

/// An access that a protection key denied.
pub struct Fault<'a, 'f> {
    frame: &'a mut Frame<'f>,
    device: OpenDevice,
    rights: Rights,
}

impl<'a, 'f> Fault<'a, 'f> {
    /// Of a context with these rights.
    pub(super) fn new(frame: &'a mut Frame<'f>, device: OpenDevice, rights: Rights) -> Self {
        Self { frame, device, rights }
    }

    /// The device's name.
    pub fn device(&self) -> impl fmt::Display {
        self.device.name()
    }

    /// The device's key; 0 if it has none any more.
    pub fn key(&self) -> u8 {
        self.device.key().map_or(0, |key| key.number())
    }

    /// Where in the device: the first byte that was denied.
    pub fn offset(&self) -> u64 {
        self.frame.address().wrapping_sub(self.device.addresses().start as u64)
    }

    /// Whether it was a store.
    pub fn is_write(&self) -> bool {
        self.frame.is_write()
    }

    /// The address of the instruction that made the access.
    pub fn instruction_address(&self) -> u64 {
        self.frame.instruction()
    }

    /// The rights of the interrupted context.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Gives the interrupted context other rights to the keys of devices; the others stay as they are. They hold from
    /// when it goes on until the innermost grant that it is in ends, or until the thread does.
    pub fn set_rights(&mut self, rights: Rights) {
        let wanted = |before: Rights, device: OpenDevice| match device.key() {
            Some(key) => before.with(key, rights.access(key.number())),
            None => before,
        };
        self.rights = devices::all().fold(self.rights, wanted);
        self.frame.set_rights(self.rights);
    }

    /// Whether the interrupted context's rights allow the access now.
    pub(super) fn is_permitted(&self) -> bool {
        match self.rights.access(self.key()) {
            Access::Write => true,
            Access::Read => !self.is_write(),
            Access::Closed => false,
        }
    }
}

impl fmt::Debug for Fault<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.is_write() { "write" } else { "read" };
        write!(f, "{access} of {} at offset {:#x}", self.device(), self.offset())
    }
}

/// Sets who decides about a device's faults.
pub(crate) fn set(device: OpenDevice, handler: Option<FaultHandler>) {
    device.decider().store(handler.map_or(0, |handler| handler as usize), Ordering::Release);
}

/// Who decides about a device's faults.
pub(super) fn of(device: OpenDevice) -> Option<FaultHandler> {
    let handler = device.decider().load(Ordering::Acquire);
    // SAFETY: only `set` stores there, and what ends a device: what is not 0 is the address of a `FaultHandler`.
    (handler != 0).then(|| unsafe { mem::transmute::<usize, FaultHandler>(handler) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Entry;

    #[test]
    fn a_handler_goes_with_its_device_and_not_to_the_next_one_in_its_place() {
        // Where nothing is mapped, and no other test's device is.
        let at = 0x7ffe_0000_0000_0000;
        let entry = Entry::new(at..at + 1, None, -1, "first").unwrap();
        let device = entry.device();
        set(device, Some(|_| FaultAction::Retry));
        assert!(of(device).is_some());
        drop(entry);
        assert!(of(device).is_none());
    }
}
