//! Configuration mechanism 1: an address port and a data port (PCI Local Bus Specification 3.0, section 3.2.2.3.2).

use super::config::{Address, ConfigSpace};
use crate::arch::port::{inl, outl};
use crate::sync::IrqLock;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// The two ports are one register, so the pair of accesses must not be interrupted by another.
static PORTS: IrqLock<()> = IrqLock::new(());

/// The machine's configuration space.
pub struct Ports;

fn select(address: Address, offset: u8) -> u32 {
    let (bus, device) = (u32::from(address.bus), u32::from(address.device));
    1 << 31 | bus << 16 | (device & 31) << 11 | u32::from(address.function & 7) << 8 | u32::from(offset & !3)
}

impl ConfigSpace for Ports {
    fn read(&self, address: Address, offset: u8) -> u32 {
        let _guard = PORTS.lock();
        // SAFETY: reading configuration space of the kinds of registers in `config` has no side effect.
        unsafe {
            outl(ADDRESS, select(address, offset));
            inl(DATA)
        }
    }

    fn write(&self, address: Address, offset: u8, value: u32) {
        let _guard = PORTS.lock();
        // SAFETY: what is written there are BARs while they are measured, put back at once; places for BARs that have
        // none, where the memory map has nothing and before anything decodes there; the enabling of decoding
        // and of transfers into memory that a driver has allocated for them; and MSI-X control. None of it
        // touches memory that anybody else owns.
        unsafe {
            outl(ADDRESS, select(address, offset));
            outl(DATA, value);
        }
    }
}
