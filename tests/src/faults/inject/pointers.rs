//! Wrong addresses.

use super::{Injector, POINTERS};
use crate::faults::debugger::Result;
use crate::gdb::Register;

impl Injector<'_> {
    /// An address that is mapped and can be written to, as far as ordinary paging goes: uniform over all such bytes,
    /// persistent memory among them.
    pub(super) fn mapped_address(&mut self) -> u64 {
        let writable = self.memory.writable();
        let total: u64 = writable.iter().map(|range| range.end - range.start).sum();
        let mut left = self.random.u64(..total.max(1));
        for range in writable {
            let length = range.end - range.start;
            if left < length {
                return range.start + left;
            }
            left -= length;
        }
        0
    }

    /// Half of the wrong addresses are near the right one, half are any that is mapped.
    pub(super) fn wrong_address(&mut self, right: u64) -> u64 {
        if self.random.u64(..2) == 0 {
            let distance = 8 << self.random.u64(..10);
            if self.random.u64(..2) == 0 { right.wrapping_add(distance) } else { right.wrapping_sub(distance) }
        } else {
            self.mapped_address() & !7
        }
    }

    pub(super) fn pointers(&mut self) -> Result<()> {
        let memory = self.memory;
        let is_pointer = |word: u64| word > 4096 && memory.is_address(word);
        let registers: Vec<Register> = Register::general()
            .filter(|&register| register != Register::RSP && is_pointer(self.registers.get(register)))
            .collect();
        let pointing = |(at, word): (u64, u64)| is_pointer(word).then_some(at);
        let stack: Vec<u64> = memory.words(self.near_frames()).into_iter().filter_map(pointing).collect();
        let heap: Vec<u64> =
            self.heap().into_iter().flat_map(|line| memory.words(line..line + 64)).filter_map(pointing).collect();
        let mut register_left = true;
        for _ in 0..POINTERS {
            let choice = self.random.u64(..3);
            if choice == 0 && register_left {
                register_left = false;
                if let Some(register) = self.pick(&registers) {
                    let wrong = self.wrong_address(self.registers.get(register));
                    self.set(register, wrong.into())?;
                }
                continue;
            }
            let Some(at) = self.pick(if choice == 1 { &stack } else { &heap }) else { continue };
            let Ok(right) = self.debugger.read_u64(at) else { continue };
            let wrong = self.wrong_address(right);
            self.debugger.write(at, &wrong.to_le_bytes())?;
            self.note(format!("the address {right:#x} at {at:#x} becomes {wrong:#x}"));
        }
        Ok(())
    }
}
