//! An I/O APIC: routes the interrupt lines of the board to vectors.

use core::ptr::NonNull;

use volatile::VolatilePtr;

use crate::addr::PhysAddr;
use crate::mm::{DeviceMapError, map_mmio};

/// Registers of the indirect window (82093AA data sheet, section 3.2).
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;

/// How a line signals an interrupt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trigger {
    pub(super) level: bool,
    pub(super) active_low: bool,
}

#[derive(Debug)]
pub(super) struct IoApic {
    base: NonNull<u32>,
    first_gsi: u32,
    lines: u32,
}

// SAFETY: the registers may be used from any CPU; the lock around the list serialises the two-step access.
unsafe impl Send for IoApic {}

impl IoApic {
    pub(super) fn new(physical: PhysAddr, first_gsi: u32) -> Result<Self, DeviceMapError> {
        let mut this = Self { base: map_mmio(physical, 0x20)?.cast(), first_gsi, lines: 0 };
        this.lines = (this.read(VERSION) >> 16 & 0xff) + 1;
        Ok(this)
    }

    /// Routes the line with this global number; false if it is not one of this controller's.
    pub(super) fn route(&mut self, gsi: u32, vector: u8, destination: u8, trigger: Trigger) -> bool {
        let Some(line) = gsi.checked_sub(self.first_gsi).filter(|&line| line < self.lines) else {
            return false;
        };
        let low = u32::from(vector) | u32::from(trigger.active_low) << 13 | u32::from(trigger.level) << 15;
        self.write(REDIRECTION + line * 2 + 1, u32::from(destination) << 24);
        self.write(REDIRECTION + line * 2, low);
        true
    }

    fn select(&mut self, register: u32) -> VolatilePtr<'_, u32> {
        // SAFETY: the base is the mapped register page: the selector at 0, the window at 0x10, both 32 bits wide; `&mut
        // self` keeps another selection from coming in between.
        unsafe {
            VolatilePtr::new(self.base).write(register);
            VolatilePtr::new(self.base.byte_add(0x10))
        }
    }

    fn read(&mut self, register: u32) -> u32 {
        self.select(register).read()
    }

    fn write(&mut self, register: u32, value: u32) {
        self.select(register).write(value);
    }
}
