//! The policy `relaxed` with every shape of access: each is reported as what it is, made whole, and nothing stays open.

use libos_contract::policy::FaultPolicy;
use pmem_linux::fault;
use strays::instructions::{STRAYS, Stray};
use strays::{Access, Place};

use crate::cases::is_readable;
use crate::child::{FILLING, lacks_keys, run};

/// How far from each other the shapes are, each in a place of its own: the longest stores 832 bytes.
const DISTANCE: usize = 1 << 10;
/// What is at every place before.
const BEFORE: u64 = u64::from_ne_bytes([FILLING; 8]);

/// Those whose stack pointer is elsewhere, and which touch nothing else, with the places that they have.
fn let_through() -> impl Iterator<Item = (usize, &'static Stray)> {
    let is_elsewhere = |stray: &&Stray| {
        let has_vectors = stray.shape.name != "vmovups" || is_x86_feature_detected!("avx");
        has_vectors && stray.shape.name != "pop" && matches!(stray.shape.place, Place::Middle(0..))
    };
    STRAYS.iter().filter(is_elsewhere).enumerate().map(|(index, stray)| ((index + 1) * DISTANCE, stray))
}

/// The case: makes all of them, in the device that begins here.
pub fn make(start: usize) {
    fault::set_fault_policy(FaultPolicy::Relaxed).unwrap();
    for (place, stray) in let_through() {
        let loaded = stray.code.run(start + place, [BEFORE; 2]);
        assert!(loaded.is_none_or(|loaded| loaded == BEFORE), "{}: {loaded:x?}", stray.shape.name);
        assert!(!is_readable(start + place), "{} has left it open", stray.shape.name);
    }
}

#[test]
fn the_relaxed_policy_reports_and_makes_every_shape() {
    if lacks_keys() {
        return;
    }
    let outcome = run("relaxed-shapes");
    outcome.assert_survived();
    for (place, stray) in let_through() {
        let shape = &stray.shape;
        let first = shape.place.first(place as u64, 0);
        let access = if shape.access == Access::Read { "read" } else { "write" };
        let headline = |offset| format!("FAULT stray {access} of {} at offset {offset:#x} ", outcome.file.display());
        let reports: usize = shape.named(first).map(|at| outcome.text.matches(&headline(at)).count()).sum();
        assert_eq!(reports, 1, "{}: {}: {}", shape.name, headline(first), outcome.text);
        let bytes = |range: std::ops::Range<u64>| &outcome.bytes[range.start as usize..range.end as usize];
        match (shape.stores.bytes(BEFORE), shape.stores.vector(first)) {
            (Some(stored), _) => assert!(stored.eq(bytes(shape.stores.range(first)).iter().copied()), "{}", shape.name),
            (None, Some(vector)) => assert_eq!(bytes(vector), [strays::MARK; 2].as_flattened(), "{}", shape.name),
            (None, None) => panic!("{}", shape.name),
        }
    }
}
