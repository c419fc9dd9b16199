//! The shapes: the instructions that go astray, and what each does to an image when nothing stops it.

use std::ops::Range;

use libos_contract::exit::FATAL_EXCEPTION;

use super::images::MARK;
use crate::pattern::{Change, Pattern};

/// Where in `pmem0` most shapes go: the middle of a page far from both ends, at the alignment that XSAVE wants.
pub const OFFSET: u64 = 0x12_3440;

/// How far below a stack pointer a trap with its handler may store.
const TRAP: u64 = 16 << 10;

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
pub(super) enum Stores {
    /// Nothing.
    Nothing,
    /// This many bytes of the mark repeated, from its byte with this number on.
    Mark(usize, usize),
    /// This many times the mark's first byte.
    Fill(usize),
    /// The sum of what was there and the mark.
    Sum,
    /// The processor's state in at most this many bytes, with XMM0, which holds the mark twice, 160 bytes on.
    State(u64),
    /// What a stack pointer eight bytes above the place leads to: at most this many bytes below it, and at least one.
    Stack(u64),
}

/// One instruction, or a few, that go astray.
#[derive(Debug)]
pub struct Shape {
    /// The name, which the guest program `stray` knows too.
    pub name: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
    /// Whether it loads or stores.
    pub access: Access,
    /// The function of the guest program that does it, if it is not called as the shape is.
    function: Option<&'static str>,
    /// What the instruction that the report shows begins with.
    pub(super) instruction: &'static str,
    /// Where the first byte is that a key can deny.
    place: Place,
    pub(super) stores: Stores,
    /// The CPUs that the machine has, at least.
    pub(super) processors: u32,
    /// How the program ends when nothing stops the access.
    pub(super) survivor_exit: u8,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// So many bytes after [`OFFSET`].
    Middle(i64),
    /// At the device's first byte.
    Start,
    /// So many bytes before the device's end.
    End(u64),
}

const BASE: Shape = Shape {
    name: "",
    what: "",
    access: Access::Write,
    function: None,
    instruction: "",
    place: Place::Middle(0),
    stores: Stores::Nothing,
    processors: 1,
    survivor_exit: 0,
};

/// A shape that stores this many bytes of the mark at [`OFFSET`].
const fn store(name: &'static str, instruction: &'static str, what: &'static str, length: usize) -> Shape {
    Shape { name, what, instruction, stores: Stores::Mark(0, length), ..BASE }
}

/// A shape that leaves the store itself to another one's function.
const fn store_by(name: &'static str, function: &'static str, instruction: &'static str, what: &'static str) -> Shape {
    Shape { function: Some(function), ..store(name, instruction, what, 8) }
}

/// An atomic read-modify-write. The emulator takes it apart into a load and a store where there is only one CPU.
const fn atomic(name: &'static str, instruction: &'static str, stores: Stores) -> Shape {
    Shape { name, what: instruction, instruction, stores, processors: 2, ..BASE }
}

/// A shape whose stack pointer is at [`OFFSET`]: the first thing that is stored goes eight bytes below.
const fn on_stack(name: &'static str, instruction: &'static str, what: &'static str, stores: Stores) -> Shape {
    Shape { name, what, instruction, place: Place::Middle(-8), stores, ..BASE }
}

/// A shape that loads the eight bytes at [`OFFSET`].
const fn read(name: &'static str, instruction: &'static str, what: &'static str) -> Shape {
    Shape { name, what, instruction, access: Access::Read, ..BASE }
}

/// All shapes, in the order of the table.
pub const SHAPES: [Shape; 31] = [
    store("store8", "mov [", "store of 1 byte", 1),
    store("store16", "mov [", "store of 2 bytes", 2),
    store("store32", "mov [", "store of 4 bytes", 4),
    store("store64", "mov [", "store of 8 bytes", 8),
    store("rep-movsb", "rep movsb", "rep movsb, 64 bytes", 64),
    store("rep-movsq", "rep movsq", "rep movsq, 64 bytes", 64),
    Shape { stores: Stores::Fill(64), ..store("rep-stosb", "rep stosb", "rep stosb, 64 bytes", 0) },
    store("rep-stosq", "rep stosq", "rep stosq, 64 bytes", 64),
    store("movnti", "movnti [", "non-temporal store, movnti", 8),
    store("movntdq", "movntdq [", "non-temporal store, movntdq", 16),
    store("movaps", "movaps [", "SSE store, aligned", 16),
    Shape { place: Place::Middle(3), ..store("movups", "movups [", "SSE store, not aligned", 16) },
    store("vmovups", "vmovups [", "AVX store, 32 bytes", 32),
    atomic("lock-xadd", "lock xadd", Stores::Sum),
    atomic("lock-cmpxchg", "lock cmpxchg", Stores::Mark(0, 8)),
    atomic("cmpxchg16b", "lock cmpxchg16b", Stores::Mark(0, 16)),
    Shape { stores: Stores::State(512), ..store("fxsave", "fxsave64 [", "fxsave, 512 bytes", 0) },
    Shape { stores: Stores::State(832), ..store("xsave", "xsave64 [", "xsave of x87, SSE and AVX state", 0) },
    on_stack("push", "push r", "stack pointer in pmem: push", Stores::Mark(0, 8)),
    on_stack("call", "call ", "stack pointer in pmem: call", Stores::Stack(8)),
    on_stack("int", "int 0xf0", "stack pointer in pmem: int", Stores::Stack(TRAP)),
    on_stack("interrupted", "", "stack pointer in pmem: a device's interrupt comes", Stores::Stack(TRAP)),
    Shape {
        survivor_exit: FATAL_EXCEPTION,
        ..on_stack("exception", "ud2", "stack pointer in pmem: an exception", Stores::Stack(TRAP))
    },
    read("pop", "pop r", "stack pointer in pmem: pop"),
    Shape {
        place: Place::Start,
        stores: Stores::Mark(4, 4),
        ..store_by("straddle-store", "store64", "mov [", "store of 8 bytes, 4 of them before the device")
    },
    Shape { place: Place::Start, ..store("straddle-movups", "movups [", "SSE store, half of it before the device", 8) },
    Shape {
        place: Place::Start,
        stores: Stores::Mark(0, 32),
        ..store_by("straddle-movsb", "rep_movsb", "rep movsb", "rep movsb, half of it before the device")
    },
    Shape {
        place: Place::End(4),
        ..store_by("straddle-out", "store64", "mov [", "store of 8 bytes, 4 of them after the device")
    },
    store_by("alias-walk", "store64", "mov [", "walks the page tables for another mapping"),
    store_by("alias-make", "store64", "mov [", "makes another mapping in the page tables"),
    read("load", "mov r", "load of 8 bytes"),
];

impl Shape {
    /// The shape with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// The function of the guest program that does it.
    pub(super) fn function(&self) -> String {
        self.function.map_or_else(|| self.name.replace('-', "_"), str::to_owned)
    }

    /// Whether it makes a mapping of its own, by which it goes past the key.
    pub(super) fn bypasses(&self) -> bool {
        self.name == "alias-make"
    }

    /// Whether it needs interrupts enabled.
    pub(super) fn takes_interrupts(&self) -> bool {
        self.name == "interrupted"
    }

    /// Where in `pmem0`, which has this length, the first byte is that a key can deny: what a fault report has to name.
    pub(super) fn start(&self, length: u64) -> u64 {
        match self.place {
            Place::Middle(more) => OFFSET.wrapping_add_signed(more),
            Place::Start => 0,
            Place::End(before) => length - before,
        }
    }

    /// What [`OFFSET`] holds before, as the guest program wants to be told.
    pub(super) fn before(image: &Pattern) -> String {
        let word = |offset| u64::from_le_bytes(image.bytes(offset..offset + 8).try_into().unwrap_or_default());
        format!("{:x},{:x}", word(OFFSET), word(OFFSET + 8))
    }

    /// What is wrong with the changes of the two images for an access that nothing has stopped; `None` if they are what
    /// it does.
    pub(super) fn judge_changes(&self, images: &[Pattern; 2]) -> Option<String> {
        let length = images[0].length();
        let start = self.start(length);
        let found = images.each_ref().map(Pattern::changes);
        let told = |expected: &str| {
            let ranges = found.each_ref().map(|changes| changes.iter().map(Change::range).collect::<Vec<_>>());
            Some(format!("expected {expected}, but {:x?} of pmem0 and {:x?} of pmem1 changed", ranges[0], ranges[1]))
        };
        let exactly = |bytes: &[u8]| {
            // What goes past the end of the first device is at the beginning of the second.
            let (here, there) = bytes.split_at(bytes.len().min((length - start) as usize));
            let expected = [images[0].changes_by(start, here), images[1].changes_by(0, there)];
            if found == expected { None } else { told(&format!("{bytes:x?} at {start:#x}")) }
        };
        let within = |range: Range<u64>| {
            let inside = found[0].iter().all(|change| range.start <= change.offset && change.range().end <= range.end);
            if inside && !found[0].is_empty() && found[1].is_empty() {
                None
            } else {
                told(&format!("changes only in {range:x?} of pmem0"))
            }
        };
        match self.stores {
            Stores::Nothing if found.iter().all(Vec::is_empty) => None,
            Stores::Nothing => told("no change"),
            Stores::Mark(phase, count) => exactly(&mark(phase, count)),
            Stores::Fill(count) => exactly(&vec![MARK[0]; count]),
            Stores::Sum => {
                let before = u64::from_le_bytes(images[0].bytes(start..start + 8).try_into().unwrap_or_default());
                exactly(&before.wrapping_add(u64::from_le_bytes(MARK)).to_le_bytes())
            }
            Stores::State(size) => within(start..start + size).or_else(|| {
                let vector = start + 160..start + 176;
                let stored = found[0].iter().any(|change| {
                    let (range, bytes) = (change.range(), &change.bytes);
                    range.start <= vector.start
                        && vector.end <= range.end
                        && bytes[(vector.start - range.start) as usize..][..16] == mark(0, 16)
                });
                if stored { None } else { told(&format!("XMM0 at {vector:x?}")) }
            }),
            Stores::Stack(below) => within(start + 8 - below..start + 8),
        }
    }
}

/// `count` bytes of the mark repeated, from its byte number `phase` on.
fn mark(phase: usize, count: usize) -> Vec<u8> {
    MARK.iter().copied().cycle().skip(phase).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::super::LENGTH;
    use super::*;

    #[test]
    fn names_are_unique_and_places_are_inside() {
        for (place, shape) in SHAPES.iter().enumerate() {
            assert!(SHAPES[place + 1..].iter().all(|other| other.name != shape.name), "{}", shape.name);
            assert!(shape.start(LENGTH) < LENGTH, "{}", shape.name);
        }
    }
}
