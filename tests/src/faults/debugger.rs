//! What faults are injected through: whatever stops a guest or a process, looks into it and changes it.
//!
//! The faults themselves are the same for both. A guest is reached by QEMU's debugger stub ([`Gdb`]), a process by
//! ptrace(2) ([`super::native`]); what a guest has of CPUs, a process has of threads, both numbered from 1.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::gdb::{Gdb, GdbError, Register, Registers, Stop, StopPoint};

/// How much around something that is pointed to counts as reached, in bytes, and how many such pieces are looked at.
pub const REACH: u64 = 256;
const MOST_REACHED: usize = 1 << 16;

/// Why something that is looked at or changed from outside cannot be followed any more, for people.
#[derive(Debug)]
pub struct Unfollowed(pub String);

impl fmt::Display for Unfollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfollowed {}

impl From<GdbError> for Unfollowed {
    fn from(error: GdbError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Unfollowed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What the functions here return. The error is that the guest or process is gone, or cannot be followed.
pub type Result<T> = std::result::Result<T, Unfollowed>;

/// Stops something that runs, looks into it and changes it. While it runs, nothing can be asked but [`Debugger::wait`]
/// and [`Debugger::halt`].
#[expect(clippy::missing_errors_doc, reason = "Result says it for all of them")]
pub trait Debugger {
    /// The CPUs or threads, numbered from 1.
    fn cpus(&mut self) -> Result<Vec<u32>>;
    /// Whether this one waits, and executes nothing that a fault could change.
    fn is_idle(&mut self, cpu: u32) -> Result<bool>;
    /// Chooses the one whose registers are used from now on.
    fn select(&mut self, cpu: u32) -> Result<()>;
    /// Its registers.
    fn registers(&mut self) -> Result<Registers>;
    /// One of them, of at most 64 bits.
    fn register(&mut self, register: Register) -> Result<u64>;
    /// Changes one of them.
    fn set_register(&mut self, register: Register, value: u128) -> Result<()>;
    /// `length` bytes of memory.
    fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>>;
    /// Changes memory, whatever protects it.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()>;
    /// Makes whatever comes to this instruction stop everything.
    fn insert(&mut self, address: u64) -> Result<()>;
    /// Takes that away.
    fn remove(&mut self, address: u64) -> Result<()>;
    /// Lets this one execute one instruction, and no other any.
    fn step(&mut self, cpu: u32) -> Result<Stop>;
    /// The same, but gives up after `timeout`: one that waits executes nothing. `None` then.
    fn try_step(&mut self, cpu: u32, timeout: Duration) -> Result<Option<Stop>>;
    /// Lets all run.
    fn resume(&mut self) -> Result<()>;
    /// Waits until they stop; `None` when they have not within `timeout`.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Stop>>;
    /// Stops all. When they have just stopped by themselves, that stop is returned.
    fn halt(&mut self) -> Result<Stop>;

    /// The eight bytes at `address`, as a number.
    fn read_u64(&mut self, address: u64) -> Result<u64> {
        let bytes = self.read(address, 8)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

/// Memory as it was when everything stood still.
pub trait Memory {
    /// The eight bytes at an address, if they are there and are RAM.
    fn read(&self, address: u64) -> Option<u64>;
    /// What can be written to, as far as ordinary paging goes, persistent memory included.
    fn writable(&self) -> Vec<Range<u64>>;
    /// The addresses around `address` that are mapped without a hole.
    fn mapped_around(&self, address: u64) -> Option<Range<u64>>;
    /// Whether a word is an address of something, by its looks.
    fn is_address(&self, word: u64) -> bool;
    /// The stacks of all threads.
    fn stacks(&self) -> Vec<Range<u64>>;
    /// Where the stacks of threads end that do not run. The one that does has its end at `running`.
    fn waiting(&self, running: u64, text: &Range<u64>) -> Vec<u64>;
    /// The live heap, by pieces of 64 bytes: what can be reached from `roots` by following whatever looks like an
    /// address, as a conservative garbage collector would find it; what is in `image` is none of it.
    fn reachable(&self, roots: &[u64], image: &Range<u64>) -> Vec<u64>;

    /// The words in a range, as far as they are there, with their addresses.
    fn words(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        range.step_by(8).filter_map(|address| Some((address, self.read(address)?))).collect()
    }
}

/// The pieces of 64 bytes that can be reached from `roots`, where `is_heap` says what is followed at all and `word`
/// what is there.
pub fn follow(roots: &[u64], is_heap: impl Fn(u64) -> bool, word: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
    let mut reached = BTreeSet::new();
    let mut open: VecDeque<u64> = roots.iter().copied().filter(|&root| root % 8 == 0 && is_heap(root)).collect();
    while let Some(address) = open.pop_front() {
        let line = address & !63;
        for piece in (line..line + REACH).step_by(64).filter(|&piece| is_heap(piece)) {
            if reached.len() < MOST_REACHED && reached.insert(piece) {
                let words = (piece..piece + 64).step_by(8).filter_map(&word);
                open.extend(words.filter(|&word| word % 8 == 0 && is_heap(word)));
            }
        }
    }
    reached.into_iter().collect()
}

impl Debugger for Gdb {
    fn cpus(&mut self) -> Result<Vec<u32>> {
        Ok(Self::cpus(self)?)
    }

    fn is_idle(&mut self, cpu: u32) -> Result<bool> {
        Ok(Self::is_idle(self, cpu)?)
    }

    fn select(&mut self, cpu: u32) -> Result<()> {
        Ok(Self::select(self, cpu)?)
    }

    fn registers(&mut self) -> Result<Registers> {
        Ok(Self::registers(self)?)
    }

    fn register(&mut self, register: Register) -> Result<u64> {
        Ok(Self::register(self, register)? as u64)
    }

    fn set_register(&mut self, register: Register, value: u128) -> Result<()> {
        Ok(Self::set_register(self, register, value)?)
    }

    fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        Ok(Self::read(self, address, length)?)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        Ok(Self::write(self, address, bytes)?)
    }

    fn insert(&mut self, address: u64) -> Result<()> {
        Ok(Self::insert(self, StopPoint::Execution, address)?)
    }

    fn remove(&mut self, address: u64) -> Result<()> {
        Ok(Self::remove(self, StopPoint::Execution, address)?)
    }

    fn step(&mut self, cpu: u32) -> Result<Stop> {
        Ok(Self::step(self, cpu)?)
    }

    fn try_step(&mut self, cpu: u32, timeout: Duration) -> Result<Option<Stop>> {
        Ok(Self::try_step(self, cpu, timeout)?)
    }

    fn resume(&mut self) -> Result<()> {
        Ok(Self::resume(self)?)
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<Stop>> {
        Ok(Self::wait(self, timeout)?)
    }

    fn halt(&mut self) -> Result<Stop> {
        Ok(Self::halt(self)?)
    }
}
