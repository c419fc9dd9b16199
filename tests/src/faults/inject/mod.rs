//! The faults themselves: what is changed in a guest that stands still.
//!
//! Whatever is chosen is chosen by the plan's random numbers among what is there at that moment, and written down.

mod code;
mod pointers;

use std::ops::Range;
use std::time::{Duration, Instant};

use super::debugger::{Debugger, Memory, Result};
use super::memory::CONTEXT_WORDS;
use super::places::{Places, trail};
use super::plan::Kind;
use super::template::{FIRST_SEGMENT, LENGTH};
use fastrand::Rng;

use crate::gdb::{Register, Registers, Stop};

/// How often bits flip, where one flip would most often hit nothing that is used (Rio injected 20 faults in each run).
const FLIPS: usize = 10;
/// How many words that hold an address are changed, how many instructions are deleted, and how many copies go wrong.
const POINTERS: usize = 4;
const DELETIONS: usize = 3;
const COPIES: usize = 3;
/// How far up the stack the frames are that are looked at, in bytes.
const NEAR: u64 = 2048;
/// The bits of an index entry that are a place, in units of eight bytes (pmem/src/pool/index.rs).
const INDEX_PLACE: u32 = 40;
/// How long a place may take to be reached before it counts as one that is not reached any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// No operation, and `cmp al, al`, which says that a compare-and-exchange has succeeded.
const NOP: u8 = 0x90;
const SUCCEED: [u8; 2] = [0x38, 0xc0];

/// The signal of a stop that was asked for.
const INTERRUPTED: u8 = 2;
/// How often it is looked whether there is still something to wait for.
const LOOK: Duration = Duration::from_millis(5);

/// Injects faults into one guest or process.
pub struct Injector<'a> {
    debugger: &'a mut dyn Debugger,
    places: &'a Places,
    memory: &'a dyn Memory,
    random: Rng,
    cpu: u32,
    /// The registers of the CPU, as they were.
    registers: Registers,
    /// Whether the load has gone on for long enough, and what is not reached by now is not waited for any more.
    enough: &'a dyn Fn() -> bool,
    /// What was done.
    done: &'a mut Vec<String>,
}

impl<'a> Injector<'a> {
    /// For a guest that stands still; the fault is injected on `cpu`, and what is done is written to `done`.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn new(
        debugger: &'a mut dyn Debugger,
        places: &'a Places,
        memory: &'a dyn Memory,
        cpu: u32,
        random: Rng,
        enough: &'a dyn Fn() -> bool,
        done: &'a mut Vec<String>,
    ) -> Result<Self> {
        debugger.select(cpu)?;
        let registers = debugger.registers()?;
        Ok(Self { debugger, places, memory, random, cpu, registers, enough, done })
    }

    /// Injects a fault of this kind. Nothing is done when there is nothing that it could be done to.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn inject(mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Text => self.text()?,
            Kind::Data => {
                for _ in 0..FLIPS {
                    let at = self.within(&self.places.variables.clone());
                    self.flip(at)?;
                }
            }
            Kind::Heap => {
                let heap = self.heap();
                for _ in 0..FLIPS {
                    let Some(line) = self.pick(&heap) else { break };
                    let at = line + self.random.u64(..64);
                    self.flip(at)?;
                }
            }
            Kind::Stack => self.stack()?,
            Kind::Registers => self.register()?,
            Kind::SavedContext => self.saved_context()?,
            Kind::Pointer => self.pointers()?,
            Kind::CopyOverrun => self.copies(|random| match random.u64(..100) {
                0..50 => 1,
                50..94 => 2 + random.u64(..1023) as i64,
                _ => 2048 + random.u64(..2049) as i64,
            })?,
            Kind::OffByOne => match self.random.u64(..2) {
                0 => self.copies(|random| if random.u64(..2) == 0 { 1 } else { -1 })?,
                _ => self.comparison()?,
            },
            Kind::LostLock => self.lost_lock()?,
            Kind::UseAfterFree => self.early_free()?,
            Kind::Destination => self.destination()?,
            Kind::WildJump => self.wild_jump()?,
            Kind::DeletedInstruction => self.delete_instructions()?,
            Kind::WildStore => self.wild_store()?,
            Kind::Index => self.index()?,
        }
        Ok(())
    }

    fn within(&mut self, range: &Range<u64>) -> u64 {
        range.start + self.random.u64(..(range.end - range.start).max(1))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.random.u64(..from.len() as u64) as usize]) }
    }

    fn note(&mut self, what: String) {
        self.done.push(what);
    }

    /// Flips one bit of the byte at an address.
    fn flip(&mut self, at: u64) -> Result<()> {
        let bit = self.random.u64(..8);
        let Ok(bytes) = self.debugger.read(at, 1) else { return Ok(()) };
        self.debugger.write(at, &[bytes[0] ^ 1 << bit])?;
        self.note(format!("bit {bit} of the byte at {at:#x} flipped"));
        Ok(())
    }

    /// Half of the flips go anywhere in the code, half to instructions that were just executed.
    fn text(&mut self) -> Result<()> {
        let trail = self.trail(100)?;
        for flip in 0..FLIPS {
            let at = match self.pick(&trail).filter(|_| flip % 2 == 0) {
                Some(instruction) => instruction + self.random.u64(..4),
                None => self.within(&self.places.text.clone()),
            };
            self.flip(at)?;
        }
        Ok(())
    }

    fn trail(&mut self, steps: usize) -> Result<Vec<u64>> {
        let trail = trail(self.debugger, self.cpu, steps)?;
        self.registers = self.debugger.registers()?;
        Ok(trail)
    }

    /// The live heap, by pieces.
    fn heap(&self) -> Vec<u64> {
        let variables = self.places.variables.start & !7..self.places.variables.end & !7;
        let mut roots = self.memory.words(variables);
        roots.extend(self.memory.stacks().into_iter().flat_map(|stack| self.memory.words(stack)));
        let mut roots: Vec<u64> = roots.into_iter().map(|(_, word)| word).collect();
        roots.extend(Register::general().map(|register| self.registers.get(register)));
        self.memory.reachable(&roots, &self.places.image)
    }

    /// What the running thread's stack holds near its top.
    fn near_frames(&self) -> Range<u64> {
        let rsp = self.registers.rsp() & !7;
        let end = self.memory.mapped_around(rsp).map_or(rsp, |stack| stack.end);
        rsp..end.min(rsp + NEAR)
    }

    /// Entries of the index are told by their looks: 24 bits of a hash above a place in the pool's device.
    fn index(&mut self) -> Result<()> {
        let places = FIRST_SEGMENT / 8..LENGTH / 8;
        let is_entry = |word: u64| word >> INDEX_PLACE != 0 && places.contains(&(word & ((1 << INDEX_PLACE) - 1)));
        let words = self.heap().into_iter().flat_map(|line| self.memory.words(line..line + 64));
        let entries: Vec<u64> = words.filter(|&(_, word)| is_entry(word)).map(|(at, _)| at).collect();
        for _ in 0..FLIPS {
            let Some(entry) = self.pick(&entries) else { break };
            let at = entry + self.random.u64(..8);
            self.flip(at)?;
        }
        Ok(())
    }

    fn stack(&mut self) -> Result<()> {
        let others = if self.random.u64(..2) == 0 { self.waiting() } else { Vec::new() };
        let range = match self.pick(&others) {
            Some(context) => {
                let end = self.memory.mapped_around(context).map_or(context, |stack| stack.end);
                context..end.min(context + NEAR)
            }
            None => self.near_frames(),
        };
        for _ in 0..POINTERS {
            let at = self.within(&range);
            self.flip(at)?;
        }
        Ok(())
    }

    fn register(&mut self) -> Result<()> {
        let vectors = self.random.u64(..5) == 0;
        let candidates: Vec<Register> =
            if vectors { Register::vector().collect() } else { Register::general().collect() };
        if let Some(register) = self.pick(&candidates) {
            let bit = self.random.u64(..register.size() as u64 * 8);
            self.set(register, self.registers.wide(register) ^ 1 << bit)?;
        }
        Ok(())
    }

    fn set(&mut self, register: Register, value: u128) -> Result<()> {
        self.debugger.set_register(register, value)?;
        self.note(format!("{register} {:#x} becomes {value:#x}", self.registers.wide(register)));
        Ok(())
    }

    /// Where the stacks of threads that do not run end.
    fn waiting(&self) -> Vec<u64> {
        self.memory.waiting(self.registers.rsp(), &self.places.text)
    }

    fn saved_context(&mut self) -> Result<()> {
        let contexts = self.waiting();
        let heap = self.heap();
        let words = heap.iter().flat_map(|&line| self.memory.words(line..line + 64));
        let saved: Vec<(u64, u64)> = words.filter(|(_, word)| contexts.contains(word)).collect();
        let Some((place, context)) = self.pick(&saved) else { return Ok(()) };
        match self.random.u64(..10) {
            0 => self.flip_word(place, "the saved stack pointer"),
            // The rights follow the stack pointer, if the compiler has left them there: their value tells.
            1 if self.memory.read(place + 8).is_some_and(|word| word as u32 >> 12 == 0x5_5555) => {
                self.flip_word(place + 8, "the saved rights")
            }
            choice => {
                let word = 1 + choice % (CONTEXT_WORDS - 1);
                let what = if word == CONTEXT_WORDS - 1 { "the saved return address" } else { "a saved register" };
                self.flip_word(context + 8 * word, what)
            }
        }
    }

    fn flip_word(&mut self, at: u64, what: &str) -> Result<()> {
        self.note(format!("{what} of a thread that does not run, at {at:#x}:"));
        let bits = if what.contains("rights") { 4 } else { 8 };
        let byte = at + self.random.u64(..bits);
        self.flip(byte)
    }
}

/// Waits until the guest stops. When that takes too long, or there is `enough`, it is halted: `None`.
///
/// # Errors
/// When the guest is gone.
pub fn wait(debugger: &mut dyn Debugger, enough: &dyn Fn() -> bool) -> Result<Option<Stop>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(stop) = debugger.wait(LOOK)? {
            return Ok(Some(stop));
        }
        if enough() || Instant::now() >= deadline {
            let stop = debugger.halt()?;
            // It may have been about to stop by itself.
            return Ok((stop.signal != INTERRUPTED).then_some(stop));
        }
    }
}
