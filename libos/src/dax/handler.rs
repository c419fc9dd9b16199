//! Handlers of one key's faults.
//!
//! The hardware does not say which key denied an access: the leaf that maps the address does. [`super::owners`] leads
//! from the key to the device that owns it, and the device to its handler.

use core::sync::atomic::Ordering;

use super::device::Device;
use super::record;
use crate::addr::VirtAddr;
use crate::arch::trap::TrapFrame;
use crate::keys::{Access, Rights};
use crate::mm;

/// What is to follow a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// What the fault policy says.
    Policy,
    /// The instruction runs again. If the interrupted context's rights would deny it once more, the policy decides
    /// after all: a handler that has changed nothing makes no loop.
    Retry,
}

/// Decides what follows a fault on a device. It runs in the exception, rights closed and interrupts disabled: it must
/// not wait, allocate, or take a lock that an interrupted thread may hold.
pub type FaultHandler = fn(&mut Fault<'_>) -> FaultAction;

/// An access that a protection key denied.
#[derive(Debug)]
pub struct Fault<'f> {
    frame: &'f mut TrapFrame,
    device: &'static Device,
    address: VirtAddr,
    write: bool,
}

impl<'f> Fault<'f> {
    pub(super) fn new(frame: &'f mut TrapFrame, device: &'static Device, address: VirtAddr, write: bool) -> Self {
        Self { frame, device, address, write }
    }

    /// The device that was touched.
    pub fn device(&self) -> &'static Device {
        self.device
    }

    /// Where in the device: the first byte that was denied.
    pub fn offset(&self) -> u64 {
        self.address - self.device.address_range().start
    }

    /// Whether it was a store.
    pub fn is_write(&self) -> bool {
        self.write
    }

    /// The rights of the interrupted context.
    pub fn rights(&self) -> Rights {
        self.frame.rights()
    }

    /// Gives the interrupted context other rights. They hold from when it goes on until the innermost grant that it is
    /// in ends, or until the context does; a device that they open to a thread cannot be retired meanwhile. Keys
    /// that no device has, and those of devices that are going away, stay closed.
    pub fn set_rights(&mut self, rights: Rights) {
        let rights = record::lend(self.frame.rights(), rights, self.frame.is_in_thread());
        self.frame.set_rights(rights);
    }

    /// The address of the instruction that made the access.
    pub fn instruction_address(&self) -> VirtAddr {
        self.frame.instruction()
    }

    pub(super) fn frame(&self) -> &TrapFrame {
        self.frame
    }

    pub(super) fn into_frame(self) -> &'f mut TrapFrame {
        self.frame
    }

    pub(super) fn address(&self) -> VirtAddr {
        self.address
    }

    /// The access that the instruction needs.
    pub(super) fn wanted(&self) -> Access {
        if self.write { Access::Write } else { Access::Read }
    }

    /// Whether the interrupted context's rights allow the access now.
    pub(super) fn is_permitted(&self) -> bool {
        let key = mm::translate(self.address).map_or(0, |leaf| leaf.flags.key());
        match self.rights().access(key) {
            Access::Write => true,
            Access::Read => !self.write,
            Access::Closed => false,
        }
    }
}

impl Device {
    /// Sets who decides about faults on this device; without a handler the fault policy does.
    pub fn set_fault_handler(&self, handler: Option<FaultHandler>) {
        self.fault_handler.store(handler.map_or(0, |handler| handler as usize), Ordering::Release);
    }

    pub(super) fn fault_handler(&self) -> Option<FaultHandler> {
        let handler = self.fault_handler.load(Ordering::Acquire);
        // SAFETY: only `set_fault_handler` stores to `fault_handler`; what is not 0 is the address of a `FaultHandler`.
        (handler != 0).then(|| unsafe { core::mem::transmute::<usize, FaultHandler>(handler) })
    }
}
