//! Random mappings, changes and unmappings, beside a model that knows of no tables: which page leads where, with which
//! attributes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::cpu::{Seen, walk};
use super::*;
use crate::keys::{Key, KeyAllocator, Protection};
use crate::mm::attributes::{Cacheability, Flags, Permissions};

/// What is said of a stretch of pages: where the first one leads, and the attributes of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    end: VirtAddr,
    physical: PhysAddr,
    flags: Flags,
    encryption: u64,
}

/// Stretches by their starts. None overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(BTreeMap<VirtAddr, Stretch>);

impl Model {
    fn find(&self, at: VirtAddr) -> Option<(VirtAddr, Stretch)> {
        self.0.range(..=at).next_back().map(|(&start, &stretch)| (start, stretch)).filter(|(_, found)| at < found.end)
    }

    /// Makes a stretch begin at `at`, if one goes over it.
    fn cut(&mut self, at: VirtAddr) {
        if let Some((start, stretch)) = self.find(at).filter(|&(start, _)| start < at) {
            self.0.insert(start, Stretch { end: at, ..stretch });
            self.0.insert(at, Stretch { physical: stretch.physical + (at - start), ..stretch });
        }
    }

    fn is_free(&self, range: &Range<VirtAddr>) -> bool {
        self.find(range.start).is_none() && self.0.range(range.clone()).next().is_none()
    }

    /// The first address of the range that nothing maps.
    fn hole(&self, range: &Range<VirtAddr>) -> Option<VirtAddr> {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some((_, stretch)) => at = stretch.end,
                None => return Some(at),
            }
        }
        None
    }

    fn cut_out(&mut self, range: &Range<VirtAddr>) -> Vec<VirtAddr> {
        self.cut(range.start);
        self.cut(range.end);
        self.0.range(range.clone()).map(|(&start, _)| start).collect()
    }

    /// The parts of the address space of which this and the other say different things.
    fn differences(&self, other: &Self) -> Vec<Range<VirtAddr>> {
        let ends = |model: &Self| model.0.iter().flat_map(|(&start, stretch)| [start, stretch.end]).collect::<Vec<_>>();
        let mut places = [ends(self), ends(other)].concat();
        places.sort_unstable();
        places.dedup();
        let says = |model: &Self, at| {
            let (start, stretch) = model.find(at)?;
            Some((stretch.physical + (at - start), stretch.flags, stretch.encryption))
        };
        let parts = places.windows(2).map(|ends| ends[0]..ends[1]);
        parts.filter(|part| says(self, part.start) != says(other, part.start)).collect()
    }

    /// The same with as few stretches as possible.
    fn joined(&self) -> Vec<(VirtAddr, Stretch)> {
        let mut all: Vec<(VirtAddr, Stretch)> = Vec::new();
        for (&start, &stretch) in &self.0 {
            if let Some((first, last)) = all.last_mut()
                && last.end == start
                && last.physical + (start - *first) == stretch.physical
                && (last.flags, last.encryption) == (stretch.flags, stretch.encryption)
            {
                last.end = stretch.end;
            } else {
                all.push((start, stretch));
            }
        }
        all
    }
}

/// What the tables say, as a model.
fn read(space: &AddressSpace<Tables>) -> Model {
    let stretch = |leaf: Leaf| Stretch {
        end: leaf.addresses().end,
        physical: leaf.physical_address,
        flags: leaf.flags,
        encryption: leaf.encryption,
    };
    let model = Model(leaves(space).into_iter().map(|leaf| (leaf.virtual_address, stretch(leaf))).collect());
    Model(model.joined().into_iter().collect())
}

/// Offsets from a base that is aligned to 1 GiB at which ranges begin and end.
const PLACES: [u64; 14] = [
    0,
    PAGE,
    2 * PAGE,
    MIB2 - PAGE,
    MIB2,
    MIB2 + 2 * PAGE,
    2 * MIB2,
    GIB - MIB2,
    GIB - PAGE,
    GIB,
    GIB + PAGE,
    GIB + 3 * MIB2,
    2 * GIB,
    3 * GIB,
];

#[derive(Clone, Debug)]
enum Operation {
    /// Pieces between these places; each has memory that is as much out of step with 1 GiB as the number says.
    Map(Vec<usize>, Vec<(u64, Attributes)>),
    Protect(usize, usize, Permissions),
    Unmap(usize, usize),
}

fn keys() -> Vec<Key> {
    let mut keys = KeyAllocator::new();
    std::iter::from_fn(|| keys.allocate().ok()).collect()
}

fn permissions() -> impl Strategy<Value = Permissions> {
    prop_oneof![Just(Permissions::Read), Just(Permissions::ReadWrite), Just(Permissions::ReadExecute)]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let keyed = (0usize..15, any::<bool>(), any::<bool>()).prop_map(|(key, read_only, user)| {
        let protection = if user { Protection::Pku } else { Protection::Pks };
        Attributes::pmem(protection, Some(keys()[key]), read_only)
    });
    let plain = prop_oneof![
        Just(Attributes::CODE),
        Just(Attributes::CONSTANT),
        Just(Attributes::DATA),
        Just(Attributes::DEVICE),
    ];
    let encrypted = (prop_oneof![keyed, plain], any::<bool>())
        .prop_map(|(attributes, encrypted)| if encrypted { attributes.encrypted() } else { attributes });
    (encrypted, proptest::option::of(0u8..8)).prop_map(|(attributes, entry)| {
        entry.and_then(Cacheability::entry).map_or(attributes, |cached| attributes.with_cacheability(cached))
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let place = || 0..PLACES.len();
    let shift = prop_oneof![4 => Just(0), 1 => Just(PAGE), 1 => Just(MIB2)];
    prop_oneof![
        2 => (proptest::collection::vec(place(), 2..5), proptest::collection::vec((shift, attributes()), 4))
            .prop_map(|(places, kinds)| Operation::Map(places, kinds)),
        3 => (place(), place(), permissions()).prop_map(|(from, to, wanted)| Operation::Protect(from, to, wanted)),
        1 => (place(), place()).prop_map(|(from, to)| Operation::Unmap(from, to)),
    ]
}

/// The bases: the lower half, the edge of what one entry of a PML4 table covers, the edge of what four levels cover,
/// and the upper halves.
const BASES: [u64; 5] =
    [0x1000_0000_0000, (1 << 39) - GIB, (1 << 48) - GIB, 0xffff_9000_0000_0000, 0xff10_0000_0000_0000];

fn usable(levels: Levels, range: &Range<VirtAddr>) -> bool {
    let bits = match levels {
        Levels::Four => 47,
        Levels::Five => 56,
    };
    let half = |at: VirtAddr| (at.as_u64() as i64) >> bits;
    [range.start, range.end - 1].iter().all(|&at| half(at) == half(range.start) && [0, -1].contains(&half(at)))
}

struct Run {
    space: AddressSpace<Tables>,
    model: Model,
    base: VirtAddr,
    levels: Levels,
}

impl Run {
    fn range(&self, from: usize, to: usize) -> Range<VirtAddr> {
        self.base + PLACES[from.min(to)]..self.base + PLACES[from.max(to)]
    }

    fn map(&mut self, mut places: Vec<usize>, kinds: &[(u64, Attributes)]) -> Result<FlushRange, MapError> {
        places.sort_unstable();
        places.dedup();
        let mut pieces = Vec::new();
        let mut wanted = self.model.clone();
        let mut possible = true;
        for (ends, (number, (shift, attributes))) in places.windows(2).zip(kinds.iter().enumerate()) {
            let range = self.range(ends[0], ends[1]);
            let physical = (5 + 4 * number as u64) * GIB + PLACES[ends[0]] + shift;
            pieces.push(memory(physical..physical + range.length(), *attributes));
            possible &= usable(self.levels, &range) && wanted.is_free(&range);
            let encryption = if attributes.is_encrypted() { 1 << C_BIT } else { 0 };
            let stretch = Stretch { end: range.end, physical: phys(physical), flags: attributes.flags(), encryption };
            wanted.0.insert(range.start, stretch);
        }
        let mapped = self.space.map_pieces(self.base + PLACES[places[0]], &pieces);
        assert!(possible || mapped.is_err(), "{pieces:x?}");
        assert!(!possible || matches!(mapped, Ok(_) | Err(MapError::OutOfMemory)), "{mapped:x?}");
        mapped.map(|_| {
            self.model = wanted;
            FlushRange::NOTHING
        })
    }

    fn protect(&mut self, range: &Range<VirtAddr>, wanted: Permissions) -> Result<FlushRange, MapError> {
        let changed = self.space.protect(range.clone(), wanted);
        if usable(self.levels, range) {
            let hole = self.model.hole(range).map(MapError::NotMapped);
            assert!(
                matches!(changed, Err(MapError::OutOfMemory)) || changed.clone().err() == hole,
                "{changed:x?} {hole:x?}"
            );
        }
        let to_flush = changed?;
        for start in self.model.cut_out(range) {
            let stretch = self.model.0.get_mut(&start).unwrap();
            stretch.flags = stretch.flags.with_permissions(wanted);
        }
        Ok(to_flush)
    }

    fn unmap(&mut self, range: &Range<VirtAddr>) -> Result<FlushRange, MapError> {
        let mut removed = Vec::new();
        let to_flush = self.space.unmap(range.clone(), &mut |leaf| removed.push(leaf.addresses()));
        assert!(to_flush.is_ok() || removed.is_empty());
        let to_flush = to_flush?;
        for start in self.model.cut_out(range) {
            self.model.0.remove(&start);
        }
        assert!(removed.iter().all(|leaf| range.covers(leaf)));
        Ok(to_flush)
    }

    fn perform(&mut self, operation: Operation) {
        let before = (leaves(&self.space), self.model.clone());
        let to_flush = match operation {
            Operation::Map(places, kinds) => self.map(places, &kinds),
            Operation::Protect(from, to, wanted) => self.protect(&self.range(from, to), wanted),
            Operation::Unmap(from, to) => self.unmap(&self.range(from, to)),
        };
        assert_eq!(read(&self.space).joined(), self.model.joined());
        self.check_caches(&before.0, &before.1, &to_flush.unwrap_or(FlushRange::NOTHING));
        self.check_cpu();
    }

    /// Whatever a CPU may remember and is no longer so has to be flushed whole.
    fn check_caches(&self, remembered: &[Leaf], before: &Model, to_flush: &FlushRange) {
        let changed = before.differences(&self.model);
        for leaf in remembered {
            let range = leaf.addresses();
            if changed.iter().any(|part| part.overlaps(&range)) {
                let flushed = to_flush.range();
                assert!(flushed.covers(&range), "{leaf:x?} {to_flush:x?}");
            }
        }
    }

    /// A CPU sees what the model says, at and around every place.
    fn check_cpu(&self) {
        for place in PLACES {
            for at in [(self.base + place).wrapping_sub(1), self.base + place, self.base + place + PAGE + 0x123] {
                if !usable(self.levels, &(at..at + 1)) {
                    assert_eq!(self.space.translate(at), None);
                    continue;
                }
                let seen = walk(&self.space.memory, self.space.root(), self.levels.root(), at);
                let expected = self.model.find(at).map(|(start, stretch)| Seen {
                    physical: stretch.physical + (at - start),
                    writable: stretch.flags.is_writable(),
                    executable: stretch.flags.is_executable(),
                    user: stretch.flags.is_user(),
                    memory_type: stretch.flags.bits() >> 3 & 3 | (stretch.flags.bits() >> 7 & 1) << 2,
                    key: u64::from(stretch.flags.key()),
                    encrypted: stretch.encryption != 0,
                });
                assert_eq!(seen, expected, "at {at:#x}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn tables_say_what_the_model_says(
        operations in proptest::collection::vec(operation(), 1..16),
        five: bool,
        gibibyte_pages: bool,
        base in proptest::sample::select(&BASES[..]),
        limit in proptest::option::of(3usize..16),
    ) {
        let levels = if five { Levels::Five } else { Levels::Four };
        let memory = Tables { limit, ..Tables::default() };
        let space = AddressSpace::new(memory, mode(levels, gibibyte_pages)).unwrap();
        let mut run = Run { space, model: Model::default(), base: virt(base), levels };
        for operation in operations {
            run.perform(operation);
            let retired = run.space.take_retired();
            run.space.release(retired);
        }
        // In the end everything can be unmapped without a single new table, and every table comes back.
        run.space.memory.limit = Some(0);
        let mapped: Vec<_> = run.model.joined().iter().map(|(start, stretch)| *start..stretch.end).collect();
        for range in mapped {
            let unmapped = run.space.unmap(range, &mut |_| {});
            prop_assert!(unmapped.is_ok());
        }
        prop_assert!(leaves(&run.space).is_empty());
        let retired = run.space.take_retired();
        run.space.release(retired);
        prop_assert_eq!(run.space.memory.tables.len(), 1);
    }
}
