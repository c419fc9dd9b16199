//! Faults in what is executed: copies of a wrong length, comparisons, locks, results, jumps; and blocks freed early.

use super::{COPIES, DELETIONS, Injector, NOP, SUCCEED, wait};
use fastrand::Rng;

use crate::faults::debugger::Result;
use crate::gdb::Register;

/// `mov [rdi], rax`, and the signal of a step that was made.
const STORE: [u8; 3] = [0x48, 0x89, 0x07];
const STEPPED: u8 = 5;

impl Injector<'_> {
    /// Lets the next copy of at least 16 bytes go to `to`.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn copy_to(mut self, to: u64) -> Result<()> {
        while self.reach(&self.places.copies.clone(), 0)? {
            if self.registers.get(Register::RDX) >= 16 {
                return self.set(Register::RDI, to.into());
            }
            self.debugger.step(self.cpu)?;
        }
        Ok(())
    }

    /// Lets the guest run until some CPU is at one of these places, passing by it `passes` times. That CPU is the one
    /// that is looked at from then on. `false` when it takes too long, or the guest ends.
    pub(super) fn reach(&mut self, places: &[u64], passes: u64) -> Result<bool> {
        places.iter().try_for_each(|&place| self.debugger.insert(place))?;
        let mut left = passes;
        let reached = loop {
            self.debugger.resume()?;
            let Some(stop) = wait(self.debugger, self.enough)? else { break false };
            self.cpu = stop.cpu;
            self.debugger.select(stop.cpu)?;
            let place = self.debugger.register(Register::RIP)?;
            if self.places.exits.contains(&place) {
                break false;
            }
            if !places.contains(&place) {
                continue;
            }
            if left == 0 {
                break true;
            }
            left -= 1;
            self.debugger.remove(place)?;
            self.debugger.step(stop.cpu)?;
            self.debugger.insert(place)?;
        };
        places.iter().try_for_each(|&place| self.debugger.remove(place))?;
        self.registers = self.debugger.registers()?;
        Ok(reached)
    }

    /// [`Injector::reach`] for a place on the stack at hand, whatever passes by there on others.
    pub(super) fn reach_on_stack(&mut self, place: u64, stack: u64) -> Result<bool> {
        for _ in 0..8 {
            if !self.reach(&[place], 0)? {
                return Ok(false);
            }
            if self.registers.rsp() == stack {
                return Ok(true);
            }
            self.debugger.step(self.cpu)?;
        }
        Ok(false)
    }

    /// Some of the copies to come get another length.
    pub(super) fn copies(&mut self, change: impl Fn(&mut Rng) -> i64) -> Result<()> {
        for _ in 0..COPIES {
            let passes = self.random.u64(..12);
            if !self.reach(&self.places.copies.clone(), passes)? {
                return Ok(());
            }
            let length = self.registers.get(Register::RDX);
            let wrong = length.saturating_add_signed(change(&mut self.random));
            let (to, from) = (self.registers.get(Register::RDI), self.registers.get(Register::RSI));
            self.note(format!("a copy of {length} bytes from {from:#x} to {to:#x}:"));
            self.set(Register::RDX, wrong.into())?;
            self.debugger.step(self.cpu)?;
        }
        Ok(())
    }

    /// A comparison that was just executed takes its limit wrongly from now on: below becomes below or equal and so on.
    pub(super) fn comparison(&mut self) -> Result<()> {
        for _ in 0..8 {
            let mut jumps = Vec::new();
            for at in self.trail(60)? {
                let code = self.debugger.read(at, 2)?;
                let (place, opcode) =
                    if code[0] == 0x0f { (at + 1, code[1] - 0x10 * u8::from(code[1] >= 0x80)) } else { (at, code[0]) };
                // JB 72, JAE 73, JBE 76, JA 77, JL 7C, JGE 7D, JLE 7E, JG 7F: bit 2, or for signed ones bit 1, decides
                // about equality.
                let flip = match opcode & 0x7f {
                    0x72 | 0x73 | 0x76 | 0x77 => 4,
                    0x7c..=0x7f => 2,
                    _ => continue,
                };
                let is_jump =
                    if place == at { (0x70..0x80).contains(&code[0]) } else { (0x80..0x90).contains(&code[1]) };
                if is_jump {
                    jumps.push((place, flip));
                }
            }
            if let Some((place, flip)) = self.pick(&jumps) {
                let code = self.debugger.read(place, 1)?[0];
                self.debugger.write(place, &[code ^ flip])?;
                self.note(format!("the opcode {code:#04x} of a jump at {place:#x} becomes {:#04x}", code ^ flip));
                return Ok(());
            }
        }
        Ok(())
    }

    /// A place that takes a lock always succeeds from now on and leaves the lock as it is.
    pub(super) fn lost_lock(&mut self) -> Result<()> {
        let passes = self.random.u64(..40);
        let locks = self.places.locks.clone();
        if !self.reach(&locks, passes)? {
            return Ok(());
        }
        let place = self.registers.rip();
        self.debugger.step(self.cpu)?;
        let length = (self.debugger.register(Register::RIP)?).wrapping_sub(place);
        if (4..16).contains(&length) {
            let mut code = vec![NOP; length as usize];
            code[..2].copy_from_slice(&SUCCEED);
            self.debugger.write(place, &code)?;
            self.note(format!("the compare-and-exchange at {place:#x} takes no lock any more"));
        }
        Ok(())
    }

    /// Blocks are freed as soon as they have been allocated: the next one of that size is the same.
    pub(super) fn early_free(&mut self) -> Result<()> {
        for _ in 0..COPIES {
            let passes = self.random.u64(..20);
            if !self.reach(&[self.places.allocate], passes)? {
                return Ok(());
            }
            let (size, align) = (self.registers.get(Register::RDI), self.registers.get(Register::RSI));
            let (caller, stack) = (self.debugger.read_u64(self.registers.rsp())?, self.registers.rsp());
            if !self.reach_on_stack(caller, stack + 8)? {
                return Ok(());
            }
            let (block, before) = (self.registers.get(Register::RAX), self.registers.clone());
            // A call of the allocator, put in between: its return address is where the CPU is.
            let frame = stack - 256;
            self.debugger.write(frame, &caller.to_le_bytes())?;
            let call = [
                (Register::RDI, block),
                (Register::RSI, size),
                (Register::RDX, align),
                (Register::RSP, frame),
                (Register::RIP, self.places.free),
            ];
            call.iter().try_for_each(|&(register, value)| self.debugger.set_register(register, value.into()))?;
            if !self.reach_on_stack(caller, frame + 8)? {
                self.note(format!("freeing the block of {size} bytes at {block:#x} early does not end"));
                return Ok(());
            }
            for register in Register::general().chain(Register::vector()).chain([Register::RIP]) {
                self.debugger.set_register(register, before.wide(register))?;
            }
            self.note(format!("the block of {size} bytes at {block:#x} is freed while in use"));
        }
        Ok(())
    }

    /// The first general register that the next instructions change gets another value.
    pub(super) fn destination(&mut self) -> Result<()> {
        for _ in 0..20 {
            let before = self.registers.clone();
            if self.trail(1)?.len() < 2 {
                return Ok(());
            }
            let changed = Register::general()
                .find(|&register| register != Register::RSP && before.get(register) != self.registers.get(register));
            let Some(register) = changed else { continue };
            let right = self.registers.get(register);
            let wrong = match self.random.u64(..2) {
                0 => right ^ 1 << self.random.u64(..64),
                _ => self.wrong_address(right),
            };
            return self.set(register, wrong.into());
        }
        Ok(())
    }

    pub(super) fn wild_jump(&mut self) -> Result<()> {
        let to = match self.random.u64(..10) {
            0..4 => self.within(&self.places.text.clone()),
            4..7 => self.pick(&self.places.functions.clone()).unwrap_or(0),
            _ => self.mapped_address(),
        };
        self.set(Register::RIP, to.into())
    }

    /// Eight bytes go to any address that is mapped and writable, by a store of the thread that is at hand, with the
    /// rights that it has at that moment. Where it faults, the fault is the thread's own.
    pub(super) fn wild_store(&mut self) -> Result<()> {
        let (to, value, before) = (self.mapped_address(), self.random.u64(..), self.registers.clone());
        let code = self.debugger.read(before.rip(), STORE.len())?;
        self.debugger.write(before.rip(), &STORE)?;
        self.set(Register::RDI, to.into())?;
        self.set(Register::RAX, value.into())?;
        let stop = self.debugger.step(self.cpu)?;
        if stop.signal == STEPPED {
            self.debugger.write(before.rip(), &code)?;
            for register in [Register::RDI, Register::RAX, Register::RIP] {
                self.debugger.set_register(register, before.wide(register))?;
            }
        }
        self.note(format!("{value:#x} is stored to {to:#x}: signal {}", stop.signal));
        Ok(())
    }

    pub(super) fn delete_instructions(&mut self) -> Result<()> {
        for _ in 0..DELETIONS {
            let steps = 1 + self.random.u64(..40) as usize;
            let trail = self.trail(steps)?;
            let mut lengths = trail.windows(2).filter(|pair| (1..16).contains(&pair[1].wrapping_sub(pair[0])));
            let Some(pair) = lengths.next_back() else { continue };
            let length = (pair[1] - pair[0]) as usize;
            let code = self.debugger.read(pair[0], length)?;
            self.debugger.write(pair[0], &vec![NOP; length])?;
            self.note(format!("the instruction {code:02x?} at {:#x} is deleted", pair[0]));
        }
        Ok(())
    }
}
