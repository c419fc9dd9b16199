//! Looking while pages are split: whoever walks the tables at the same time, as CPUs do, notices nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::keys::{KeyAllocator, Protection};
use crate::mm::attributes::Permissions;

/// Tables in a row, for several threads.
struct Arena {
    tables: [PageTable; 8],
    given: AtomicUsize,
}

impl TableMemory for &Arena {
    fn allocate(&mut self) -> Option<PhysAddr> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        (number < self.tables.len()).then_some(phys((number as u64 + 1) * PAGE))
    }

    fn release(&mut self, _: PhysAddr) {}

    fn table(&self, physical: PhysAddr) -> &PageTable {
        &self.tables[(physical.as_u64() / PAGE - 1) as usize]
    }
}

#[test]
fn a_split_is_never_seen_half_done() {
    let attributes = Attributes::pmem(Protection::Pks, KeyAllocator::new().allocate().ok(), false);
    for round in 0..200 {
        let arena = Arena { tables: [const { PageTable::new() }; 8], given: AtomicUsize::new(0) };
        let mode = mode(Levels::Four, true);
        let mut space = AddressSpace::new(&arena, mode).unwrap();
        space.map(pages(GIB..2 * GIB), phys(5 * GIB), attributes).unwrap();
        let (root, stop) = (space.root(), AtomicBool::new(false));
        let page = GIB + (round * 7919) % (GIB / PAGE) * PAGE;
        let to_flush = thread::scope(|scope| {
            let (began, wait_began) = mpsc::channel();
            let (arena, stop) = (&arena, &stop);
            scope.spawn(move || {
                // From the last address down, since a split fills its table from the first one up.
                let mut at = 2 * GIB - 1;
                while !stop.load(Ordering::Relaxed) {
                    let leaf = translate(&arena, mode, root, virt(at)).expect("it is mapped all the time");
                    assert_eq!(leaf.physical_address + (virt(at) - leaf.virtual_address), phys(5 * GIB + (at - GIB)));
                    assert_eq!((leaf.flags.key(), leaf.flags.is_user()), (1, false));
                    at = if at < GIB + MIB2 { 2 * GIB - 1 } else { at - MIB2 + PAGE };
                    let _ = began.send(());
                }
            });
            wait_began.recv().unwrap();
            let to_flush = space.protect(pages(page..page + PAGE), Permissions::Read);
            stop.store(true, Ordering::Relaxed);
            to_flush
        });
        assert_eq!(to_flush.map(|to_flush| to_flush.range()), Ok(pages(GIB..2 * GIB)));
    }
}
