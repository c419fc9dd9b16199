//! The shapes of stray accesses: the instructions that go astray, and what each does to a device when nothing stops it.
//! One list for the guest and for processes of Linux.
//!
//! The guest program `stray` and the tests of `pmem-linux` make them ([`instructions`]); what makes them, under which
//! rights, and what is to come of it, is theirs.
#![no_std]

use core::ops::Range;

#[cfg(target_arch = "x86_64")]
pub mod instructions;

/// What a stray access stores.
pub const MARK: [u8; 8] = *b"RAYSTRAW";

/// What a shape does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It stores.
    Write,
    /// It loads eight bytes.
    Read,
}

/// What a shape stores when nothing stops it.
#[derive(Clone, Copy, Debug)]
pub enum Stores {
    /// Nothing.
    Nothing,
    /// This many bytes of the mark repeated, from its byte with this number on.
    Mark(usize, usize),
    /// This many times the mark's first byte.
    Fill(usize),
    /// The sum of what was there and the mark.
    Sum,
    /// The processor's state in at most this many bytes, with XMM0, which holds the mark twice.
    State(u64),
    /// What a stack pointer eight bytes above the place leads to: at most this many bytes below it, and at least one.
    Stack(u64),
}

/// Where XMM0 is in the processor's state.
const VECTOR: u64 = 160;

/// How far below a stack pointer a trap with its handler may store.
pub const TRAP: u64 = 16 << 10;

impl Stores {
    /// What is stored from the place on, where these eight bytes were; nothing if that depends on more.
    pub fn bytes(self, before: u64) -> Option<impl Iterator<Item = u8>> {
        let count = match self {
            Self::Nothing => 0,
            Self::Mark(_, count) | Self::Fill(count) => count,
            Self::Sum => size_of::<u64>(),
            Self::State(_) | Self::Stack(_) => return None,
        };
        let sum = before.wrapping_add(u64::from_le_bytes(MARK)).to_le_bytes();
        Some((0..count).map(move |place| match self {
            Self::Mark(phase, _) => MARK[(phase + place) % MARK.len()],
            Self::Sum => sum[place],
            _ => MARK[0],
        }))
    }

    /// Where something is stored by what has its place at this offset, and nowhere else.
    pub fn range(self, place: u64) -> Range<u64> {
        match self {
            Self::Nothing => place..place,
            Self::Mark(_, count) | Self::Fill(count) => place..place + count as u64,
            Self::Sum => place..place + 8,
            Self::State(size) => place..place + size,
            Self::Stack(below) => place + 8 - below..place + 8,
        }
    }

    /// Where the mark is found twice afterwards, for the processor's state.
    pub fn vector(self, place: u64) -> Option<Range<u64>> {
        matches!(self, Self::State(_)).then_some(place + VECTOR..place + VECTOR + 16)
    }
}

/// Where the first byte is that a key can deny.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// So many bytes after a place in the device that is aligned to 64 bytes.
    Middle(i64),
    /// At the device's first byte.
    Start,
    /// So many bytes before the device's end.
    End(u64),
}

impl Place {
    /// What this place is relative to, in a device of this length, as an offset: `middle`, its start, or its end. The
    /// instructions are given its address.
    pub fn anchor(self, middle: u64, length: u64) -> u64 {
        match self {
            Self::Middle(_) => middle,
            Self::Start => 0,
            Self::End(_) => length,
        }
    }

    /// The first byte that a key can deny, as an offset in such a device.
    pub fn first(self, middle: u64, length: u64) -> u64 {
        match self {
            Self::Middle(more) => middle.wrapping_add_signed(more),
            Self::Start => 0,
            Self::End(before) => length - before,
        }
    }
}

/// One instruction, or a few, that go astray.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
    /// Whether it loads or stores.
    pub access: Access,
    /// The function that does it.
    pub function: &'static str,
    /// What the instruction that goes astray begins with.
    pub instruction: &'static str,
    /// Where the first byte is that a key can deny.
    pub place: Place,
    /// What it stores.
    pub stores: Stores,
}

impl Shape {
    /// A shape that stores this many bytes of the mark in the middle, by the function of its own name.
    pub const fn store(name: &'static str, instruction: &'static str, what: &'static str, length: usize) -> Self {
        let stores = Stores::Mark(0, length);
        Self { name, what, access: Access::Write, function: name, instruction, place: Place::Middle(0), stores }
    }

    /// A shape whose stack pointer is in the middle: the first thing that is stored goes eight bytes below.
    pub const fn on_stack(name: &'static str, instruction: &'static str, what: &'static str, stores: Stores) -> Self {
        Self { place: Place::Middle(-8), stores, ..Self::store(name, instruction, what, 0) }
    }

    /// A shape that loads eight bytes in the middle.
    pub const fn load(name: &'static str, instruction: &'static str, what: &'static str) -> Self {
        Self { access: Access::Read, stores: Stores::Nothing, ..Self::store(name, instruction, what, 0) }
    }

    /// This shape, made by another function than that of its name.
    pub const fn by(self, function: &'static str) -> Self {
        Self { function, ..self }
    }

    /// This shape at another place.
    pub const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// This shape with other stores.
    pub const fn storing(self, stores: Stores) -> Self {
        Self { stores, ..self }
    }

    /// Where the byte is that a processor names as the first one denied, if this is it: of the state that FXSAVE stores
    /// AMD's processors name the last.
    pub fn named(&self, first: u64) -> Range<u64> {
        match self.stores {
            Stores::State(size) => first..first + size,
            _ => first..first + 1,
        }
    }

    /// Whether it is an atomic read-modify-write.
    pub fn is_atomic(&self) -> bool {
        self.instruction.starts_with("lock ")
    }
}
