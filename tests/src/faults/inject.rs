//! The faults themselves: what is changed in a guest that stands still.
//!
//! Whatever is chosen is chosen by the plan's random numbers among what is there at that moment, and written down.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::memory::Snapshot;
use super::places::{Places, trail};
use super::plan::Kind;
use crate::gdb::{Gdb, Register, Registers, Result, Stop, StopPoint};
use crate::random::Random;

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
    random: Random,
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
        random: Random,
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
                    let at = line + self.random.below(64);
                    self.flip(at)?;
                }
            }
            Kind::Stack => self.stack()?,
            Kind::Registers => self.register()?,
            Kind::SavedContext => self.saved_context()?,
            Kind::Pointer => self.pointers()?,
            Kind::CopyOverrun => self.copies(|random| match random.below(100) {
                0..50 => 1,
                50..94 => 2 + random.below(1023) as i64,
                _ => 2048 + random.below(2049) as i64,
            })?,
            Kind::OffByOne => match self.random.below(2) {
                0 => self.copies(|random| if random.below(2) == 0 { 1 } else { -1 })?,
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

    /// Lets the next copy of at least 16 bytes go to `to`.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn copy_to(mut self, to: u64) -> Result<()> {
        while self.reach(&[self.places.copy], 0)? {
            if self.registers.get(Register::RDX) >= 16 {
                return self.set(Register::RDI, to.into());
            }
            self.gdb.step(self.cpu)?;
        }
        Ok(())
    }

    fn within(&mut self, range: &Range<u64>) -> u64 {
        range.start + self.random.below((range.end - range.start).max(1))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.random.below(from.len() as u64) as usize]) }
    }

    fn note(&mut self, what: String) {
        self.done.push(what);
    }

    /// Flips one bit of the byte at an address.
    fn flip(&mut self, at: u64) -> Result<()> {
        let bit = self.random.below(8);
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
                Some(instruction) => instruction + self.random.below(4),
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
        let others = if self.random.below(2) == 0 { self.contexts() } else { Vec::new() };
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
        let vectors = self.random.below(5) == 0;
        let candidates: Vec<Register> =
            if vectors { Register::vector().collect() } else { Register::general().collect() };
        if let Some(register) = self.pick(&candidates) {
            let bit = self.random.below(register.size() as u64 * 8);
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
        match self.random.below(10) {
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
        let byte = at + self.random.below(bits);
        self.flip(byte)
    }

    /// An address that is mapped and can be written to, as far as ordinary paging goes: uniform over all such bytes, persistent memory among them.
    fn mapped_address(&mut self) -> u64 {
        let writable: Vec<Range<u64>> =
            self.snapshot.leaves().iter().filter(|leaf| leaf.writable).map(|leaf| leaf.range()).collect();
        let total: u64 = writable.iter().map(|range| range.end - range.start).sum();
        let mut left = self.random.below(total.max(1));
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
    fn wrong_address(&mut self, right: u64) -> u64 {
        if self.random.below(2) == 0 {
            let distance = 8 << self.random.below(10);
            if self.random.below(2) == 0 { right.wrapping_add(distance) } else { right.wrapping_sub(distance) }
        } else {
            self.mapped_address() & !7
        }
    }

    fn pointers(&mut self) -> Result<()> {
        let is_pointer =
            |snapshot: &Snapshot, word: u64| word > 4096 && (snapshot.leaf(word).is_some() || PMEM.contains(&word));
        let snapshot = self.snapshot;
        let registers: Vec<Register> = Register::general()
            .filter(|&register| register != Register::RSP && is_pointer(snapshot, self.registers.get(register)))
            .collect();
        let pointing = |(at, word): (u64, u64)| is_pointer(snapshot, word).then_some(at);
        let stack: Vec<u64> = snapshot.words(self.near_frames()).filter_map(pointing).collect();
        let heap: Vec<u64> =
            self.heap().into_iter().flat_map(|line| snapshot.words(line..line + 64)).filter_map(pointing).collect();
        let mut register_left = true;
        for _ in 0..POINTERS {
            let choice = self.random.below(3);
            if choice == 0 && register_left {
                register_left = false;
                if let Some(register) = self.pick(&registers) {
                    let wrong = self.wrong_address(self.registers.get(register));
                    self.set(register, wrong.into())?;
                }
                continue;
            }
            let Some(at) = self.pick(if choice == 1 { &stack } else { &heap }) else { continue };
            let Ok(right) = self.gdb.read_u64(at) else { continue };
            let wrong = self.wrong_address(right);
            self.gdb.write(at, &wrong.to_le_bytes())?;
            self.note(format!("the address {right:#x} at {at:#x} becomes {wrong:#x}"));
        }
        Ok(())
    }

    /// Lets the guest run until some CPU is at one of these places, passing by it `passes` times. That CPU is the one that is looked
    /// at from then on. `false` when it takes too long, or the guest ends.
    fn reach(&mut self, places: &[u64], passes: u64) -> Result<bool> {
        places.iter().try_for_each(|&place| self.gdb.insert(StopPoint::Execution, place))?;
        let mut left = passes;
        let reached = loop {
            self.gdb.resume()?;
            let Some(stop) = wait(self.gdb, self.enough)? else { break false };
            self.cpu = stop.cpu;
            self.gdb.select(stop.cpu)?;
            let place = self.gdb.register(Register::RIP)? as u64;
            if self.places.exits.contains(&place) {
                break false;
            }
            if left == 0 {
                break true;
            }
            left -= 1;
            self.gdb.remove(StopPoint::Execution, place)?;
            self.gdb.step(stop.cpu)?;
            self.gdb.insert(StopPoint::Execution, place)?;
        };
        places.iter().try_for_each(|&place| self.gdb.remove(StopPoint::Execution, place))?;
        self.registers = self.gdb.registers()?;
        Ok(reached)
    }

    /// [`Injector::reach`] for a place on the stack at hand, whatever passes by there on others.
    fn reach_on_stack(&mut self, place: u64, stack: u64) -> Result<bool> {
        for _ in 0..8 {
            if !self.reach(&[place], 0)? {
                return Ok(false);
            }
            if self.registers.rsp() == stack {
                return Ok(true);
            }
            self.gdb.step(self.cpu)?;
        }
        Ok(false)
    }

    /// Some of the copies to come get another length.
    fn copies(&mut self, change: impl Fn(&mut Random) -> i64) -> Result<()> {
        for _ in 0..COPIES {
            let passes = self.random.below(12);
            if !self.reach(&[self.places.copy], passes)? {
                return Ok(());
            }
            let length = self.registers.get(Register::RDX);
            let wrong = length.saturating_add_signed(change(&mut self.random));
            let (to, from) = (self.registers.get(Register::RDI), self.registers.get(Register::RSI));
            self.note(format!("a copy of {length} bytes from {from:#x} to {to:#x}:"));
            self.set(Register::RDX, wrong.into())?;
            self.gdb.step(self.cpu)?;
        }
        Ok(())
    }

    /// A comparison that was just executed takes its limit wrongly from now on: below becomes below or equal and so on.
    fn comparison(&mut self) -> Result<()> {
        for _ in 0..8 {
            let mut jumps = Vec::new();
            for at in self.trail(60)? {
                let code = self.gdb.read(at, 2)?;
                let (place, opcode) =
                    if code[0] == 0x0f { (at + 1, code[1] - 0x10 * u8::from(code[1] >= 0x80)) } else { (at, code[0]) };
                // JB 72, JAE 73, JBE 76, JA 77, JL 7C, JGE 7D, JLE 7E, JG 7F: bit 2, or for signed ones bit 1, decides about equality.
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
                let code = self.gdb.read(place, 1)?[0];
                self.gdb.write(place, &[code ^ flip])?;
                self.note(format!("the opcode {code:#04x} of a jump at {place:#x} becomes {:#04x}", code ^ flip));
                return Ok(());
            }
        }
        Ok(())
    }

    /// A place that takes a lock always succeeds from now on and leaves the lock as it is.
    fn lost_lock(&mut self) -> Result<()> {
        let passes = self.random.below(40);
        let locks = self.places.locks.clone();
        if !self.reach(&locks, passes)? {
            return Ok(());
        }
        let place = self.registers.rip();
        self.gdb.step(self.cpu)?;
        let length = (self.gdb.register(Register::RIP)? as u64).wrapping_sub(place);
        if (4..16).contains(&length) {
            let mut code = vec![NOP; length as usize];
            code[..2].copy_from_slice(&SUCCEED);
            self.gdb.write(place, &code)?;
            self.note(format!("the compare-and-exchange at {place:#x} takes no lock any more"));
        }
        Ok(())
    }

    /// Blocks are freed as soon as they have been allocated: the next one of that size is the same.
    fn early_free(&mut self) -> Result<()> {
        for _ in 0..COPIES {
            let passes = self.random.below(20);
            if !self.reach(&[self.places.allocate], passes)? {
                return Ok(());
            }
            let (size, align) = (self.registers.get(Register::RDI), self.registers.get(Register::RSI));
            let (caller, stack) = (self.gdb.read_u64(self.registers.rsp())?, self.registers.rsp());
            if !self.reach_on_stack(caller, stack + 8)? {
                return Ok(());
            }
            let (block, before) = (self.registers.get(Register::RAX), self.registers.clone());
            // A call of the allocator, put in between: its return address is where the CPU is.
            let frame = stack - 256;
            self.gdb.write(frame, &caller.to_le_bytes())?;
            let call = [
                (Register::RDI, block),
                (Register::RSI, size),
                (Register::RDX, align),
                (Register::RSP, frame),
                (Register::RIP, self.places.free),
            ];
            call.iter().try_for_each(|&(register, value)| self.gdb.set_register(register, value.into()))?;
            if !self.reach_on_stack(caller, frame + 8)? {
                self.note(format!("freeing the block of {size} bytes at {block:#x} early does not end"));
                return Ok(());
            }
            for register in Register::general().chain(Register::vector()).chain([Register::RIP]) {
                self.gdb.set_register(register, before.wide(register))?;
            }
            self.note(format!("the block of {size} bytes at {block:#x} is freed while in use"));
        }
        Ok(())
    }

    /// The first general register that the next instructions change gets another value.
    fn destination(&mut self) -> Result<()> {
        for _ in 0..20 {
            let before = self.registers.clone();
            if self.trail(1)?.len() < 2 {
                return Ok(());
            }
            let changed = Register::general()
                .find(|&register| register != Register::RSP && before.get(register) != self.registers.get(register));
            let Some(register) = changed else { continue };
            let right = self.registers.get(register);
            let wrong = match self.random.below(2) {
                0 => right ^ 1 << self.random.below(64),
                _ => self.wrong_address(right),
            };
            return self.set(register, wrong.into());
        }
        Ok(())
    }

    fn wild_jump(&mut self) -> Result<()> {
        let to = match self.random.below(10) {
            0..4 => self.within(&self.places.text.clone()),
            4..7 => self.pick(&self.places.functions.clone()).unwrap_or(0),
            _ => self.mapped_address(),
        };
        self.set(Register::RIP, to.into())
    }

    fn delete_instructions(&mut self) -> Result<()> {
        for _ in 0..DELETIONS {
            let steps = 1 + self.random.below(40) as usize;
            let trail = self.trail(steps)?;
            let mut lengths = trail.windows(2).filter(|pair| (1..16).contains(&pair[1].wrapping_sub(pair[0])));
            let Some(pair) = lengths.next_back() else { continue };
            let length = (pair[1] - pair[0]) as usize;
            let code = self.gdb.read(pair[0], length)?;
            self.gdb.write(pair[0], &vec![NOP; length])?;
            self.note(format!("the instruction {code:02x?} at {:#x} is deleted", pair[0]));
        }
        Ok(())
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
