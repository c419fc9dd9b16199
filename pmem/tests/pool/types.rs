//! Types of values, and operations that this version does not know: kept or passed over, whatever happens to the pool.

use pmem::sim::{Domain, Event, Memory};
use pmem::{Error, FormatOptions, Op, Pool, ValueType, inspect};

const LEN: usize = 1 << 20;
const SEGMENT: usize = 64 << 10;
const UUID: [u8; 16] = [7; 16];
/// The place of the features that a program must know to read, in both superblocks.
const FEATURES: [usize; 2] = [64, LEN - 4096 + 64];

fn formatted() -> Pool<Memory> {
    Pool::format(Memory::new(LEN as u64), &FormatOptions::new(UUID)).unwrap()
}

fn put(pool: &mut Pool<Memory>, key: &[u8], value: &[u8], value_type: ValueType) -> Result<(), Error> {
    pool.turn(|turn| turn.atomically(&[Op::Put { key, value, value_type, expires_at_ms: Some(9) }])).unwrap().0
}

/// The type of a key's value, told by every call that tells it.
fn type_of(pool: &mut Pool<Memory>, key: &[u8]) -> ValueType {
    let (types, _durable) = pool
        .turn(|turn| {
            let mut scanned = None;
            let mut cursor = 0;
            loop {
                let visit = |name: &[u8], meta: pmem::Meta| {
                    scanned = (name == key).then_some(meta).or(scanned);
                };
                cursor = turn.scan(cursor, 100, visit).unwrap();
                if cursor == 0 {
                    break;
                }
            }
            let read = turn.get(key, &mut Vec::new()).unwrap();
            [scanned.unwrap(), read.unwrap(), turn.meta(key).unwrap().unwrap()].map(|meta| meta.value_type)
        })
        .unwrap();
    assert!(types.iter().all(|other| *other == types[0]), "{types:?}");
    types[0]
}

#[test]
fn a_value_keeps_its_type_through_changes_cleaning_and_openings() {
    let mut pool = formatted();
    let unnamed = ValueType::new(201);
    let typed = [(&b"small"[..], 20, ValueType::HASH), (b"large", 20_000, ValueType::LIST), (b"other", 20, unnamed)];
    for (key, len, value_type) in typed {
        put(&mut pool, key, &vec![1; len], value_type).unwrap();
    }
    let check = |pool: &mut Pool<Memory>| {
        for (key, _, value_type) in typed {
            assert_eq!(type_of(pool, key), value_type, "{}", key.escape_ascii());
        }
    };
    // While it is staged, too, and whichever part of it changes.
    let ((), _durable) = pool
        .turn(|turn| {
            for (key, len, value_type) in typed {
                turn.append(key, b"more").unwrap();
                turn.put_range(key, len as u64 / 2, b"in between").unwrap();
                assert_eq!(turn.meta(key).unwrap().unwrap().value_type, value_type);
            }
        })
        .unwrap();
    check(&mut pool);
    for number in 0..3000u32 {
        pool.turn(|turn| turn.put(&(number % 50).to_le_bytes(), &[0; 1000], None)).unwrap().0.unwrap();
    }
    assert!(pool.stats().segments_cleaned > 20);
    check(&mut pool);
    let mut pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
    check(&mut pool);
    let mut pool = Pool::open(pool.close().unwrap()).unwrap();
    check(&mut pool);
    // A string takes the place of any value.
    pool.turn(|turn| turn.put(b"large", b"short", None)).unwrap().0.unwrap();
    assert_eq!(type_of(&mut pool, b"large"), ValueType::STRING);
}

/// A program that knows no types would take them for damage: it is told before there is one, and durably.
#[test]
fn a_pool_says_that_it_has_typed_values_before_it_has_one() {
    let mut pool = formatted();
    pool.turn(|turn| turn.put(b"key", b"a string", None)).unwrap().0.unwrap();
    let before = pool.medium().image();
    assert_eq!(FEATURES.map(|at| before[at]), [0, 0]);
    pool.medium().record();
    put(&mut pool, b"typed", b"the elements", ValueType::SET).unwrap();
    let mut domain = Domain::new(before);
    let mut is_there = false;
    for event in pool.medium().record() {
        if let Event::Store { bytes, .. } = &event
            && bytes.windows(12).any(|window| window == b"the elements")
        {
            is_there = true;
            assert_eq!(FEATURES.map(|at| domain.durable()[at]), [1, 1]);
        }
        domain.apply(&event);
    }
    assert!(is_there);
    // Once is enough.
    pool.medium().record();
    put(&mut pool, b"typed", b"anew", ValueType::SET).unwrap();
    let fences = pool.medium().record().iter().filter(|event| **event == Event::Fence).count();
    assert_eq!(fences, 1);
    assert_eq!(inspect(pool.medium()).unwrap().features_to_read, 1);
}

#[test]
fn a_pool_of_version_1_takes_strings_only_and_says_what_to_do() {
    let path = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let image = std::fs::read(path.join("tests/fixtures/v1-closed.img")).unwrap();
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    let error = put(&mut pool, b"typed", b"value", ValueType::HASH).unwrap_err();
    assert_eq!(error, Error::OldVersion { found: 1 });
    assert!(error.to_string().contains("pool migrate"), "{error}");
    put(&mut pool, b"string", b"value", ValueType::STRING).unwrap();
    assert!(!pool.turn(|turn| turn.contains(b"typed")).unwrap().0.unwrap());
    assert_eq!(type_of(&mut pool, b"string"), ValueType::STRING);
}

/// Gives the operation on a key another kind, as a newer program would have written it.
fn with_kind(image: &mut [u8], key: &[u8], kind: u8) {
    let at = image.windows(key.len()).rposition(|window| window == key).unwrap();
    image[at - 16] = kind;
    let segment = at / SEGMENT * SEGMENT;
    let number = |image: &[u8], at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    // Its frame is the one that begins before it, in its line or the one before, and was whole.
    let checksum = |image: &[u8], frame: usize, len: usize| {
        let generation = &image[segment + 8..segment + 16];
        let place = (frame as u64).to_le_bytes();
        pmem::crc32c::crc32c(&[&UUID, generation, &place, &image[frame + 4..frame + len]].concat())
    };
    let len_at = |image: &[u8], frame: usize| number(image, frame + 4) as usize;
    let mut whole = image.to_vec();
    whole[at - 16] = 1;
    let is_frame = |frame: &usize| {
        let len = len_at(&whole, *frame);
        (32..1000).contains(&len) && checksum(&whole, *frame, len) == number(&whole, *frame)
    };
    let frame = (segment..at - 16).rev().find(|frame| frame.is_multiple_of(8) && is_frame(frame)).unwrap();
    let sealed = checksum(image, frame, len_at(image, frame)).to_le_bytes();
    image[frame..frame + 4].copy_from_slice(&sealed);
}

/// A pool whose operation on the key `from-the-future` has this kind, and lies between others or behind them. Of one
/// between them the link of the next batch says that it was another one.
fn image_with_kind(kind: u8, is_last: bool) -> Vec<u8> {
    let mut pool = formatted();
    let mut keys = [&b"before"[..], b"from-the-future", b"behind"];
    keys[1..].rotate_left(usize::from(is_last));
    for key in keys {
        pool.turn(|turn| turn.put(key, b"value", None)).unwrap().0.unwrap();
    }
    let mut image = pool.medium().image();
    with_kind(&mut image, b"from-the-future", kind);
    image
}

#[test]
fn operations_that_may_be_passed_over_are_counted_and_cleaned_away() {
    for kind in [128, 200, 255] {
        let image = image_with_kind(kind, true);
        let inspection = inspect(&Memory::from(image.clone())).unwrap();
        assert_eq!((inspection.report.passed_over, inspection.report.keys), (1, 2), "kind {kind}");
        assert!(inspection.report.damage.is_empty(), "kind {kind}: {:?}", inspection.report);
        assert!(inspection.to_string().contains("1 operations of a newer program, passed over"));
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        assert!(!pool.turn(|turn| turn.contains(b"from-the-future")).unwrap().0.unwrap());
        for number in 0..3000u32 {
            pool.turn(|turn| turn.put(&(number % 50).to_le_bytes(), &[0; 1000], None)).unwrap().0.unwrap();
            if number == 100 {
                // Nothing in the first segment counts then, so it is cleaned among the first.
                for key in [&b"before"[..], b"behind"] {
                    pool.turn(|turn| turn.put(key, b"anew", None)).unwrap().0.unwrap();
                }
            }
        }
        assert!(pool.stats().segments_cleaned > 20);
        let report = inspect(pool.medium()).unwrap().report;
        assert_eq!((report.passed_over, report.keys, report.damage.len()), (0, 52, 0), "kind {kind}");
    }
}

/// Nobody knows what it costs to leave them out.
#[test]
fn operations_that_nobody_may_pass_over_are_no_records() {
    for kind in [0, 9, 10, 127] {
        let report = inspect(&Memory::from(image_with_kind(kind, false))).unwrap().report;
        assert_eq!((report.passed_over, report.keys, report.damage.len()), (0, 2, 1), "kind {kind}");
    }
}
