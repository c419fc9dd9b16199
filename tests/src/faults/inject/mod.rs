//! The faults themselves: what is changed in a guest that stands still.
//!
//! Whatever is chosen is chosen by the plan's random numbers among what is there at that moment, and written down.

mod code;
mod pointers;

use std::ops::Range;
use std::time::{Duration, Instant};

use super::memory::Snapshot;
use super::places::{Places, trail};
use super::plan::Kind;
use fastrand::Rng;

use crate::gdb::{Gdb, Register, Registers, Result, Stop};

/// How often bits flip, where one flip would most often hit nothing that is used (Rio injected 20 faults in each run).
const FLIPS: usize = 10;
/// How many words that hold an address are changed, how many instructions are deleted, and how many copies go wrong.
const POINTERS: usize = 4;
const DELETIONS: usize = 3;
const COPIES: usize = 3;
/// How far up the stack the frames are that are looked at, in bytes.
const NEAR: u64 = 2048;
/// How long a place may take to be reached before it counts as one that is not reached any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the first word of a saved context is: MXCSR without its flags, and the x87 control word.
const CONTEXT_MARK: u64 = 0x037f_0000_1f80;
const CONTEXT_FLAGS: u64 = 0x3f;
/// The words of a saved context: the mark, r15, r14, r13, r12, rbx, rbp and the return address.
const CONTEXT_WORDS: u64 = 8;
/// No operation, and `cmp al, al`, which says that a compare-and-exchange has succeeded.
const NOP: u8 = 0x90;
const SUCCEED: [u8; 2] = [0x38, 0xc0];

/// The signal of a stop that was asked for.
const INTERRUPTED: u8 = 2;
/// How often it is looked whether there is still something to wait for.
const LOOK: Duration = Duration::from_millis(5);

/// Where the stacks of threads and persistent memory are in the guest's address space.
const PMEM: Range<u64> = 0x1000_0000_0000..0x6000_0000_0000;
const STACKS: Range<u64> = 0x6000_0000_0000..0x8000_0000_0000;

/// Injects faults into one guest.
pub struct Injector<'a> {
    gdb: &'a mut Gdb,
    places: &'a Places,
    snapshot: &'a Snapshot,
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
        gdb: &'a mut Gdb,
        places: &'a Places,
        snapshot: &'a Snapshot,
        cpu: u32,
        random: Rng,
        enough: &'a dyn Fn() -> bool,
        done: &'a mut Vec<String>,
    ) -> Result<Self> {
        gdb.select(cpu)?;
        let registers = gdb.registers()?;
        Ok(Self { gdb, places, snapshot, random, cpu, registers, enough, done })
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
        let Ok(bytes) = self.gdb.read(at, 1) else { return Ok(()) };
        self.gdb.write(at, &[bytes[0] ^ 1 << bit])?;
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
        let trail = trail(self.gdb, self.cpu, steps)?;
        self.registers = self.gdb.registers()?;
        Ok(trail)
    }

    /// The live heap, by pieces.
    fn heap(&self) -> Vec<u64> {
        let stacks = self.snapshot.leaves().iter().filter(|leaf| STACKS.contains(&leaf.virtual_address));
        let roots = self
            .snapshot
            .words(self.places.variables.start & !7..self.places.variables.end & !7)
            .chain(stacks.flat_map(|leaf| self.snapshot.words(leaf.range())))
            .map(|(_, word)| word);
        let registers = Register::general().map(|register| self.registers.get(register));
        self.snapshot.reachable(roots.chain(registers), &self.places.image)
    }

    /// What the running thread's stack holds near its top.
    fn near_frames(&self) -> Range<u64> {
        let rsp = self.registers.rsp() & !7;
        let end = self.snapshot.mapped_around(rsp).map_or(rsp, |stack| stack.end);
        rsp..end.min(rsp + NEAR)
    }

    fn stack(&mut self) -> Result<()> {
        let others = if self.random.u64(..2) == 0 { self.contexts() } else { Vec::new() };
        let range = match self.pick(&others) {
            Some(context) => {
                let end = self.snapshot.mapped_around(context).map_or(context, |stack| stack.end);
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
        self.gdb.set_register(register, value)?;
        self.note(format!("{register} {:#x} becomes {value:#x}", self.registers.wide(register)));
        Ok(())
    }

    /// Where the contexts of threads that do not run are saved: on their stacks, and somewhere a word points to them.
    fn contexts(&self) -> Vec<u64> {
        let running = self.snapshot.mapped_around(self.registers.rsp());
        let stacks = self.snapshot.leaves().iter().map(|leaf| leaf.range()).filter(|leaf| STACKS.contains(&leaf.start));
        let other = stacks.filter(|leaf| running.as_ref().is_none_or(|running| !running.contains(&leaf.start)));
        let is_context = |&(at, word): &(u64, u64)| {
            let back = self.snapshot.read(at + 8 * (CONTEXT_WORDS - 1));
            word & !CONTEXT_FLAGS == CONTEXT_MARK && back.is_some_and(|back| self.places.text.contains(&back))
        };
        other.flat_map(|leaf| self.snapshot.words(leaf)).filter(is_context).map(|(at, _)| at).collect()
    }

    fn saved_context(&mut self) -> Result<()> {
        let contexts = self.contexts();
        let heap = self.heap();
        let words = heap.iter().flat_map(|&line| self.snapshot.words(line..line + 64));
        let saved: Vec<(u64, u64)> = words.filter(|(_, word)| contexts.contains(word)).collect();
        let Some((place, context)) = self.pick(&saved) else { return Ok(()) };
        match self.random.u64(..10) {
            0 => self.flip_word(place, "the saved stack pointer"),
            // The rights follow the stack pointer, if the compiler has left them there: their value tells.
            1 if self.snapshot.read(place + 8).is_some_and(|word| word as u32 >> 12 == 0x5_5555) => {
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
pub fn wait(gdb: &mut Gdb, enough: &dyn Fn() -> bool) -> Result<Option<Stop>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(stop) = gdb.wait(LOOK)? {
            return Ok(Some(stop));
        }
        if enough() || Instant::now() >= deadline {
            let stop = gdb.halt()?;
            // It may have been about to stop by itself.
            return Ok((stop.signal != INTERRUPTED).then_some(stop));
        }
    }
}
