//! Errors of the medium: each costs the records that it hits and nothing else, now and after every restart.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fastrand::Rng;
use pmem::pool::DamageKind;
use pmem::sim::{Domain, Event, Memory};
use pmem::{Error, FormatOptions, Medium, Pool};

const LEN: u64 = 1 << 20;
const KEYS: u32 = 900;

fn key(number: u32) -> Vec<u8> {
    format!("key-{number:04}").into_bytes()
}

/// Its first bytes are not those of any other value.
fn value(number: u32) -> Vec<u8> {
    [format!("<value {number:04}>").as_bytes(), &vec![number as u8; 60 + number as usize % 200]].concat()
}

/// A pool with keys in frames of all kinds, and a large value.
fn filled() -> Pool<Memory> {
    let mut pool = Pool::format(Memory::new(LEN), &FormatOptions::new([5; 16])).unwrap();
    for first in (0..KEYS).step_by(7) {
        let put = |turn: &mut pmem::Turn<'_, Memory>| {
            (first..(first + 7).min(KEYS)).try_for_each(|number| turn.put(&key(number), &value(number), None))
        };
        pool.turn(put).unwrap().0.unwrap();
    }
    pool.turn(|turn| turn.put(b"large", &[7; 30_000], None)).unwrap().0.unwrap();
    for number in (0..KEYS).step_by(90) {
        assert!(pool.turn(|turn| turn.remove(&key(number))).unwrap().0.unwrap());
    }
    pool
}

/// Where the keys' values are, by their first bytes.
fn places(image: &[u8]) -> BTreeMap<u32, u64> {
    let begins = (0..image.len() - 12).filter(|at| image[*at] == b'<' && image[*at..].starts_with(b"<value "));
    let number = |at: usize| std::str::from_utf8(&image[at + 7..at + 11]).unwrap().parse().unwrap();
    begins.map(|at| (number(at), at as u64)).collect()
}

/// Where a key's value is.
fn place(image: &[u8], number: u32) -> u64 {
    places(image)[&number]
}

/// Reads every key. Returns those that are errors, each of which names a place in `bad` or before it; all others are as
/// they were put or, where `removed` says so, not there.
fn unreadable<M: Medium>(pool: &mut Pool<M>, removed: impl Fn(u32) -> bool) -> BTreeSet<u32> {
    let mut errors = BTreeSet::new();
    let (_, _) = pool
        .turn(|turn| {
            for number in 0..KEYS {
                let mut found = Vec::new();
                match turn.get(&key(number), &mut found) {
                    Ok(Some(_)) => assert!(!removed(number) && found == value(number), "{number}"),
                    Ok(None) => assert!(removed(number), "{number} is gone without a word"),
                    Err(Error::Damaged { .. }) => drop(errors.insert(number)),
                    Err(error) => panic!("{number}: {error}"),
                }
            }
            let mut large = Vec::new();
            turn.get(b"large", &mut large).unwrap().unwrap();
            assert_eq!(large, [7; 30_000]);
        })
        .unwrap();
    errors
}

fn removed(number: u32) -> bool {
    number.is_multiple_of(90)
}

/// The keys whose values have a byte in the range.
fn hit(image: &[u8], bad: &Range<u64>) -> BTreeSet<u32> {
    // The operation's header and key come right before its value.
    let overlaps = |(number, from): &(u32, u64)| bad.start < from + value(*number).len() as u64 && from - 24 < bad.end;
    let places = places(image).into_iter().filter(|(number, _)| !removed(*number));
    places.filter(overlaps).map(|(number, _)| number).collect()
}

/// A line in the middle of one value, a line that begins a record, and a page with many records; each in a segment that
/// is full, and in the one that is being filled.
#[test]
fn an_error_costs_what_it_hits_until_that_is_written_anew() {
    let unclosed = filled().medium().image();
    // From a checkpoint, of which nothing was read yet.
    let closed = filled().close().unwrap().image();
    for number in [151, 880] {
        let value = place(&unclosed, number) / 64 * 64;
        for bad in [value + 64..value + 128, value..value + 64, value / 4096 * 4096..value / 4096 * 4096 + 4096] {
            for (image, told) in [(&unclosed, true), (&unclosed, false), (&closed, true)] {
                let mut pool = Pool::open(Memory::from(image.clone())).unwrap();
                let expected = hit(image, &bad);
                pool.medium().poison(bad.clone(), told);
                // A read that meets it, or a turn that is told, and the next turn acts.
                let first = unreadable(&mut pool, removed);
                assert_eq!(first, expected, "{bad:x?}");
                assert_eq!(unreadable(&mut pool, removed), expected, "{bad:x?}");
                let known = pool.bad_ranges().cloned().collect::<Vec<_>>();
                assert!(known.iter().any(|known| known.start >= bad.start && known.end <= bad.end), "{known:x?}");
                assert_eq!(pool.stats().lost_keys, expected.len() as u64);
                assert!(pool.stats().quarantined_bytes > 0 && pool.stats().bad_bytes > 0);

                // The list is honoured by a program on a machine that has not met the error yet.
                let memory = Memory::from(pool.medium().image());
                let mut pool = Pool::open(memory).unwrap();
                assert_eq!(pool.report().bad_ranges, known);
                assert_eq!(pool.report().damage, [], "nothing is left in the bad segment that could be damaged");
                assert_eq!(pool.report().lost_keys, expected.len() as u64);
                assert_eq!(unreadable(&mut pool, removed), expected, "{bad:x?} after a restart");

                // Every other key is well again when it is written, the rest when it is removed; for good.
                let (written, gone): (Vec<u32>, Vec<u32>) = expected.iter().partition(|number| **number % 2 == 0);
                let write = |turn: &mut pmem::Turn<'_, Memory>| {
                    written.iter().try_for_each(|number| turn.put(&key(*number), &self::value(*number), None))?;
                    gone.iter().try_for_each(|number| turn.remove(&key(*number)).map(|there| assert!(there)))
                };
                pool.turn(write).unwrap().0.unwrap();
                let is_gone = |number: u32| removed(number) || gone.contains(&number);
                assert_eq!((unreadable(&mut pool, is_gone).len(), pool.stats().lost_keys), (0, 0));
                let memory = Memory::from(pool.close().unwrap().image());
                let mut pool = Pool::open(memory).unwrap();
                assert_eq!((unreadable(&mut pool, is_gone).len(), pool.stats().lost_keys), (0, 0));
            }
        }
    }
}

/// Every segment but the least is filled and emptied again and again: no byte is ever stored in a bad range, nor in its
/// segment.
#[test]
fn nothing_is_stored_in_a_bad_segment_any_more() {
    let mut pool = filled();
    let image = pool.medium().image();
    let bads = [place(&image, 500), (64 << 10) * 12 + 4096, 100].map(|at| at / 64 * 64..at / 64 * 64 + 64);
    bads.iter().for_each(|bad| pool.medium().poison(bad.clone(), true));
    let (_, _) = pool.turn(|_| ()).unwrap();
    for reopened in [false, true] {
        pool.medium().record();
        for round in 0..12_000u32 {
            let number = round % 60;
            pool.turn(|turn| turn.put(&key(number), &value(number), None)).unwrap().0.unwrap();
        }
        assert!(pool.stats().segments_cleaned > 20);
        for event in pool.medium().record() {
            let Event::Store { offset, bytes } = event else { continue };
            let stored = offset..offset + bytes.len() as u64;
            for bad in &bads {
                let segment =
                    if bad.start < 64 << 10 { bad.clone() } else { bad.start & !0xFFFF..(bad.start | 0xFFFF) + 1 };
                assert!(stored.end <= segment.start || segment.end <= stored.start, "{stored:x?} in {segment:x?}");
            }
        }
        if !reopened {
            pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
            assert_eq!(pool.report().bad_ranges, [bads[2].clone(), bads[0].clone(), bads[1].clone()]);
        }
    }
}

/// An older value of a lost key is on the medium still, in another segment: it does not come back.
#[test]
fn a_lost_key_does_not_get_an_older_value_back() {
    let mut pool = Pool::format(Memory::new(LEN), &FormatOptions::new([5; 16])).unwrap();
    let put = |pool: &mut Pool<Memory>, key: &[u8], value: &[u8]| {
        pool.turn(|turn| turn.put(key, value, None)).unwrap().0.unwrap();
    };
    put(&mut pool, b"key", b"older");
    for number in 0..40 {
        put(&mut pool, format!("filler {number}").as_bytes(), &[1; 3000]);
    }
    put(&mut pool, b"key", b"<newer>");
    let image = pool.medium().image();
    let at = image.windows(7).position(|window| window == b"<newer>").unwrap() as u64;
    pool.medium().poison(at / 64 * 64..at / 64 * 64 + 64, true);
    for _ in 0..3 {
        let error = pool.turn(|turn| turn.get(b"key", &mut Vec::new())).unwrap().0.unwrap_err();
        assert!(matches!(error, Error::Damaged { offset } if offset.abs_diff(at) < 64), "{error}");
        pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
    }
}

/// A chunk of a large value is hit: the value is an error, and everything else is well.
#[test]
fn a_hit_large_value_is_an_error_until_it_is_replaced() {
    let mut pool = filled();
    let image = pool.medium().image();
    let at = image.windows(1000).position(|window| window == [7; 1000]).unwrap() as u64;
    pool.medium().poison(at / 64 * 64 + 64..at / 64 * 64 + 128, true);
    let get = |pool: &mut Pool<Memory>| pool.turn(|turn| turn.get(b"large", &mut Vec::new()).map(drop)).unwrap().0;
    assert!(matches!(get(&mut pool), Err(Error::Damaged { .. })));
    pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert!(matches!(get(&mut pool), Err(Error::Damaged { .. })));
    pool.turn(|turn| turn.put(b"large", &[7; 30_000], None)).unwrap().0.unwrap();
    assert!(unreadable(&mut pool, removed).is_empty());
    pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert!(unreadable(&mut pool, removed).is_empty());
    assert_eq!(pool.report().damage, []);
}

/// Errors that only the opening meets cost what damage costs, and are in the list from then on.
#[test]
fn an_error_that_the_opening_meets_is_contained_and_remembered() {
    let image = filled().medium().image();
    for at in [0, 5000, 64 << 10, (128 << 10) - 64, place(&image, 300), place(&image, 899), LEN - 4096] {
        let memory = Memory::from(image.clone());
        let bad = at / 64 * 64..at / 64 * 64 + 64;
        memory.poison(bad.clone(), false);
        let mut pool = Pool::open(memory).unwrap();
        let lost = (0..KEYS).filter(|number| {
            let mut found = Vec::new();
            let there = pool.turn(|turn| turn.get(&key(*number), &mut found)).unwrap().0.unwrap().is_some();
            assert!(!there || found == value(*number));
            !there && !removed(*number)
        });
        assert!(lost.count() < 8, "{at:x}");
        // The reserved bytes are not read.
        let met = at != 5000;
        assert_eq!(pool.bad_ranges().cloned().collect::<Vec<_>>(), if met { vec![bad.clone()] } else { vec![] });
        let again = Pool::open(Memory::from(pool.medium().image())).unwrap();
        assert_eq!(again.report().bad_ranges.len(), usize::from(met));
    }
}

#[test]
fn repair_empties_bad_segments_and_keeps_them_aside() {
    let image = filled().medium().image();
    let memory = Memory::from(image.clone());
    let bad = place(&image, 300) / 64 * 64..place(&image, 300) / 64 * 64 + 64;
    memory.poison(bad.clone(), false);
    let mut pool = Pool::open(memory).unwrap();
    assert!(!pool.report().damage.is_empty());
    pool.repair().unwrap();
    assert_eq!(pool.report().damage, []);
    let quarantined = pool.stats().quarantined_bytes;
    assert!(quarantined > 0);
    let again = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert_eq!((again.report().damage.as_slice(), again.report().bad_ranges.as_slice()), (&[][..], &[bad][..]));
    assert_eq!(again.stats().quarantined_bytes, quarantined);
}

/// The power is cut at every fence while the pool deals with an error.
#[test]
fn dealing_with_an_error_survives_a_power_cut_anywhere() {
    let mut pool = filled();
    let before = pool.medium().image();
    for number in [40, 500, 880] {
        let at = place(&before, number) / 64 * 64;
        let bad = at - 128..at + 256;
        let expected = hit(&before, &bad);
        pool = Pool::open(Memory::from(before.clone())).unwrap();
        let base = pool.medium().image();
        pool.medium().record();
        pool.medium().poison(bad.clone(), true);
        let (_, _) = pool.turn(|_| ()).unwrap();
        let mut domain = Domain::new(base);
        let mut generator = Rng::with_seed(1);
        let mut random = |below| generator.u64(..below);
        let mut images = 0;
        for event in pool.medium().record().iter().chain([&Event::Fence]) {
            if *event == Event::Fence {
                for words in domain.images(12, &mut random) {
                    images += 1;
                    let mut found = Pool::open(Memory::from(domain.image(&words))).unwrap();
                    let forgotten = |damage: &pmem::pool::Damage| damage.kind == DamageKind::BadRanges;
                    assert!(!found.report().damage.iter().any(forgotten), "{:?}", found.report());
                    let listed = !found.report().bad_ranges.is_empty();
                    // As long as the bad frames were not moved out of, all of a frame that is hit is lost with it.
                    let mut lost = BTreeSet::new();
                    for number in (0..KEYS).filter(|number| !removed(*number)) {
                        let mut bytes = Vec::new();
                        match found.turn(|turn| turn.get(&key(number), &mut bytes)).unwrap().0 {
                            Ok(Some(_)) => assert_eq!(bytes, value(number)),
                            Ok(None) | Err(Error::Damaged { .. }) => drop(lost.insert(number)),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    assert!(if listed { lost.is_superset(&expected) } else { lost.is_empty() }, "{lost:?}");
                    assert!(lost.len() <= expected.len() + 7, "{lost:?}");
                    // And once more: the same.
                    let again = Pool::open(Memory::from(found.medium().image())).unwrap();
                    assert_eq!(again.report().keys, found.report().keys);
                    assert_eq!(again.report().bad_ranges, found.report().bad_ranges);
                }
            }
            domain.apply(event);
        }
        assert!(images > 30, "{images}");
    }
}
