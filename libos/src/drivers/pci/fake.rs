//! A configuration space for tests.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::config::{Address, ConfigSpace, Function};
use super::scan;

#[derive(Default)]
pub(crate) struct Fake {
    functions: RefCell<BTreeMap<Address, [u32; 64]>>,
    /// For each BAR register of a function, the bits that can be written.
    pub(crate) writable: BTreeMap<(Address, u8), u32>,
}

impl ConfigSpace for Fake {
    fn read(&self, address: Address, offset: u8) -> u32 {
        self.functions.borrow().get(&address).map_or(0xffff_ffff, |registers| registers[usize::from(offset / 4)])
    }

    fn write(&self, address: Address, offset: u8, value: u32) {
        if let Some(registers) = self.functions.borrow_mut().get_mut(&address) {
            let register = &mut registers[usize::from(offset / 4)];
            *register = match self.writable.get(&(address, offset)) {
                Some(mask) => value & mask | *register & !mask & 0xf,
                None => value,
            };
        }
    }
}

pub(crate) fn at(bus: u8, device: u8, function: u8) -> Address {
    Address { bus, device, function }
}

impl Fake {
    pub(crate) fn add(&mut self, address: Address, id: u32, registers: &[(u8, u32)]) {
        let mut all = [0; 64];
        all[0] = id;
        for &(offset, value) in registers {
            all[usize::from(offset / 4)] = value;
        }
        self.functions.get_mut().insert(address, all);
    }

    pub(crate) fn function(&self, address: Address) -> Function<'_, Self> {
        Function::find(self, address).unwrap()
    }

    pub(crate) fn found(&self) -> Vec<Address> {
        let mut found = Vec::new();
        scan(self, |function| found.push(function.address));
        found
    }
}
