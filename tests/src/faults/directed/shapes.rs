//! The shapes: those that `strays` has for processes of Linux too, and those that only code in ring 0 can make; what
//! machine each needs, and whether an image was changed by just what the shape stores.

use libos_contract::exit::FATAL_EXCEPTION;
use strays::instructions::STRAYS;
use strays::{MARK, Shape, Stores, TRAP};

use crate::pattern::{Change, Pattern};

/// Where in `pmem0` most shapes go: the middle of a page far from both ends, at the alignment that XSAVE wants.
pub const OFFSET: u64 = 0x12_3440;

/// The shapes of the guest alone, which the program `stray` has by these names.
static OWN: [Shape; 4] = [
    Shape::on_stack("int", "int 0xf0", "stack pointer in pmem: int", Stores::Stack(TRAP)),
    Shape::on_stack("interrupted", "", "stack pointer in pmem: a device's interrupt comes", Stores::Stack(TRAP)),
    Shape::store("alias-walk", "mov [", "walks the page tables for another mapping", 8).by("store64"),
    Shape::store("alias-make", "mov [", "makes another mapping in the page tables", 8).by("store64"),
];

/// All shapes, in the order of the table.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    STRAYS.iter().map(|stray| &stray.shape).chain(&OWN)
}

/// The shape with this name.
pub fn named(name: &str) -> Option<&'static Shape> {
    shapes().find(|shape| shape.name == name)
}

/// Whether a shape makes a mapping of its own, by which it goes past the key.
pub(super) fn bypasses(shape: &Shape) -> bool {
    shape.name == "alias-make"
}

/// Whether a shape needs interrupts enabled.
pub(super) fn takes_interrupts(shape: &Shape) -> bool {
    shape.name == "interrupted"
}

/// The CPUs that the machine has for a shape, at least. The emulator takes an atomic access apart into a load and a
/// store where there is only one.
pub(super) fn processors(shape: &Shape) -> u32 {
    if shape.is_atomic() { 2 } else { 1 }
}

/// How the program ends when nothing stops a shape.
pub(super) fn survivor_exit(shape: &Shape) -> u8 {
    if shape.name == "exception" { FATAL_EXCEPTION } else { 0 }
}

/// The first byte of `pmem0`, which has this length, that a key can deny: what a fault report has to name.
pub(super) fn first(shape: &Shape, length: u64) -> u64 {
    shape.place.first(OFFSET, length)
}

/// What [`OFFSET`] holds before, as the guest program wants to be told.
pub(super) fn before(image: &Pattern) -> String {
    let word = |offset| u64::from_le_bytes(image.bytes(offset..offset + 8).try_into().unwrap_or_default());
    format!("{:x},{:x}", word(OFFSET), word(OFFSET + 8))
}

/// What is wrong with the changes of the two images for an access that nothing has stopped; `None` if they are what the
/// shape does.
pub(super) fn judge_changes(shape: &Shape, images: &[Pattern; 2]) -> Option<String> {
    let length = images[0].length();
    let start = first(shape, length);
    let found = images.each_ref().map(Pattern::changes);
    let told = |expected: &str| {
        let ranges = found.each_ref().map(|changes| changes.iter().map(Change::range).collect::<Vec<_>>());
        Some(format!("expected {expected}, but {:x?} of pmem0 and {:x?} of pmem1 changed", ranges[0], ranges[1]))
    };
    let range = shape.stores.range(start);
    let before = u64::from_le_bytes(images[0].bytes(OFFSET..OFFSET + 8).try_into().unwrap_or_default());
    if let Some(bytes) = shape.stores.bytes(before) {
        let bytes: Vec<u8> = bytes.collect();
        // What goes past the end of the first device is at the beginning of the second.
        let (here, there) = bytes.split_at(bytes.len().min((length - start) as usize));
        let expected = [images[0].changes_by(start, here), images[1].changes_by(0, there)];
        return if found == expected { None } else { told(&format!("{bytes:x?} at {start:#x}")) };
    }
    let inside = |change: &Change| range.start <= change.offset && change.range().end <= range.end;
    if found[0].is_empty() || !found[0].iter().all(inside) || !found[1].is_empty() {
        return told(&format!("changes only in {range:x?} of pmem0"));
    }
    let vector = shape.stores.vector(start)?;
    let stored = |change: &Change| {
        let from = vector.start.checked_sub(change.offset).map(|from| from as usize);
        from.and_then(|from| change.bytes.get(from..from + 16)).is_some_and(|found| found == [MARK; 2].as_flattened())
    };
    if found[0].iter().any(stored) { None } else { told(&format!("XMM0 at {vector:x?}")) }
}

#[cfg(test)]
mod tests {
    use super::super::LENGTH;
    use super::*;

    #[test]
    fn names_are_unique_and_places_are_inside() {
        for (place, shape) in shapes().enumerate() {
            assert!(shapes().skip(place + 1).all(|other| other.name != shape.name), "{}", shape.name);
            assert!(first(shape, LENGTH) < LENGTH, "{}", shape.name);
        }
    }
}
