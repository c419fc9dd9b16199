//! A medium that goes away in the middle of a turn: what was staged is lost, and the turn must not say otherwise.

use std::cell::Cell;

use pmem::medium::{Gone, WriteError};
use pmem::sim::Memory;
use pmem::{Counters, Error, FormatOptions, Medium, Pool};

/// Memory to which no write gets through once the writes that are left are used up.
struct Failing {
    memory: Memory,
    writes_left: Cell<u32>,
}

impl Medium for Failing {
    type Reader<'g> = <Memory as Medium>::Reader<'g>;
    type Writer<'g> = <Memory as Medium>::Writer<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        reader
    }

    fn len(&self) -> u64 {
        Medium::len(&self.memory)
    }

    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        self.memory.read(f)
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        let left = self.writes_left.get();
        self.writes_left.set(left.saturating_sub(1));
        if left == 0 { Err(WriteError::Gone) } else { self.memory.write(f) }
    }

    fn counters(&self) -> Counters {
        self.memory.counters()
    }
}

#[test]
fn a_turn_that_lost_what_it_had_staged_gives_no_receipt() {
    let value = vec![7; 8 << 20];
    let (mut failed, mut kept) = (0, 0);
    for writes in [0, 1, 2, 3, 5, 8, 13, 21, 34, 1000] {
        let medium = Failing { memory: Memory::new(64 << 20), writes_left: Cell::new(u32::MAX) };
        let mut pool = Pool::format(medium, &FormatOptions::new([3; 16])).unwrap();
        pool.medium().writes_left.set(writes);
        match pool.turn(|turn| (turn.put(b"small", b"1", None), turn.put(b"large", &value, None))) {
            Ok(((small, large), _durable)) => {
                assert!(small.is_ok() && large.is_ok(), "a receipt after {small:?} and {large:?}");
                kept += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Gone), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0 && kept > 0, "{failed} turns failed and {kept} did not");
}
