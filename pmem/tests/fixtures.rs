//! Images of every released version of the format are opened as they should be, for ever.
//!
//! `tests/fixtures` holds, for each version, a pool that was shut down and one that lost power in a turn. They were
//! written by the version that they are named after and never change. A new version of the format adds its own, by
//! `cargo test -p pmem --test fixtures -- --ignored`.

use std::path::PathBuf;

use pmem::pool::{FORMAT_VERSION, OLDEST_VERSION, Tail};
use pmem::sim::{Event, Memory};
use pmem::{Error, FormatOptions, Op, Pool, ValueType, inspect};

/// The smallest pool there is.
const LEN: u64 = (64 << 10) + 8 * (64 << 10) + 4096;

fn path(version: u32, name: &str) -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    PathBuf::from(package).join(format!("tests/fixtures/v{version}-{name}.img"))
}

fn large() -> Vec<u8> {
    (0..10_000u32).map(|byte| (byte / 7) as u8).collect()
}

/// A key, its value, and when that expires.
type Expected = (&'static [u8], Vec<u8>, Option<u64>);

/// What the fixtures of a version hold, in the order of the keys. From version 2 on, a value of another type too.
fn expected(version: u32) -> Vec<Expected> {
    let mut expected: Vec<Expected> = vec![
        (b"", b"the empty key".into(), None),
        (b"atomic-1", b"one".into(), None),
        (b"atomic-2", b"two".into(), Some(1_900_000_000_001)),
        (b"empty", b"".into(), None),
        (b"expires", b"soon".into(), Some(1_900_000_000_000)),
        (b"large", large(), None),
        (b"overwritten", b"new".into(), None),
    ];
    if version > 1 {
        expected.push((TYPED, b"of another type".into(), None));
    }
    expected
}

/// The key of a value that is no string.
const TYPED: &[u8] = b"typed";

/// Writes every kind of record that there is.
fn sample() -> Pool<Memory> {
    let options = FormatOptions { label: "fixture".into(), ..FormatOptions::new(*b"holdfast fixture") };
    let mut pool = Pool::format(Memory::new(LEN), &options).unwrap();
    pool.turn(|turn| turn.put(b"cleared", b"before the clearing", None)).unwrap().0.unwrap();
    pool.turn(|turn| turn.clear()).unwrap().0.unwrap();
    let put = |pool: &mut Pool<Memory>, key: &[u8], value: &[u8], expires_at_ms| {
        pool.turn(|turn| turn.put(key, value, expires_at_ms)).unwrap().0.unwrap();
    };
    put(&mut pool, b"", b"the empty key", None);
    put(&mut pool, b"empty", b"", None);
    put(&mut pool, b"expires", b"soon", Some(1_900_000_000_000));
    put(&mut pool, b"overwritten", b"old", None);
    put(&mut pool, b"overwritten", b"new", None);
    put(&mut pool, b"removed", b"value", None);
    pool.turn(|turn| turn.remove(b"removed")).unwrap().0.unwrap();
    put(&mut pool, b"large", &large(), None);
    let one = Op::Put { key: b"atomic-1", value: b"one", value_type: ValueType::STRING, expires_at_ms: None };
    let two = Op::Put {
        key: b"atomic-2",
        value: b"two",
        value_type: ValueType::STRING,
        expires_at_ms: Some(1_900_000_000_001),
    };
    let gone = [
        Op::Put { key: b"atomic-3", value: b"three", value_type: ValueType::STRING, expires_at_ms: None },
        Op::Remove { key: b"atomic-3" },
    ];
    pool.turn(|turn| turn.atomically(&[one, two, gone[0], gone[1]])).unwrap().0.unwrap();
    let typed = Op::Put { key: TYPED, value: b"of another type", value_type: ValueType::HASH, expires_at_ms: None };
    pool.turn(|turn| turn.atomically(&[typed])).unwrap().0.unwrap();
    // Opened again, so that there is a mark.
    Pool::open(pool.close().unwrap()).unwrap()
}

#[test]
#[ignore = "writes the fixtures of a new version of the format"]
fn write_fixtures() {
    let write = |name, image: Vec<u8>| {
        let path = path(FORMAT_VERSION, name);
        assert!(!path.exists(), "{} is there; fixtures never change", path.display());
        std::fs::write(path, image).unwrap();
    };
    write("closed", sample().close().unwrap().image());
    let mut pool = sample();
    let mut image = pool.medium().image();
    pool.medium().record();
    pool.turn(|turn| turn.put(b"torn", &[7; 100], None)).unwrap().0.unwrap();
    let Event::Store { offset, bytes } = &pool.medium().record()[0] else { panic!("a turn begins with a store") };
    image[*offset as usize..][..24].copy_from_slice(&bytes[..24]);
    write("torn", image);
}

#[test]
fn images_of_every_version_are_opened() {
    for version in OLDEST_VERSION..=FORMAT_VERSION {
        for name in ["closed", "torn"] {
            let path = path(version, name);
            let image = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let medium = Memory::from(image);
            let inspection = inspect(&medium).unwrap();
            assert_eq!((inspection.version, inspection.label.as_str()), (version, "fixture"));
            let keys = expected(version).len() as u64;
            assert_eq!((inspection.report.damage.len(), inspection.report.keys), (0, keys), "{name}");
            assert_eq!(inspection.features_to_read, u64::from(version > 1), "{name}");
            assert_eq!(inspection.report.tail == Tail::Clean, name == "closed");
            assert_eq!(matches!(inspection.report.tail, Tail::Torn { .. }), name == "torn");
            // As it is, again after it was written to, and again after it was migrated.
            let mut pool = Pool::open(medium).unwrap();
            for round in 0..3 {
                for (key, value, expires_at_ms) in expected(version) {
                    let mut found = Vec::new();
                    let meta = pool.turn(|turn| turn.get(key, &mut found)).unwrap().0.unwrap().unwrap();
                    assert!(found == value, "{name}: {}", key.escape_ascii());
                    assert_eq!(meta.expires_at_ms, expires_at_ms);
                    let value_type = if key == TYPED { ValueType::HASH } else { ValueType::STRING };
                    assert_eq!(meta.value_type, value_type);
                }
                let used = pool.stats().used_bytes;
                pool.turn(|turn| turn.put(b"new", b"key", None)).unwrap().0.unwrap();
                assert_eq!(pool.stats().keys, keys + 1);
                // What version 1 began, nobody else goes on with.
                assert!(round < 2 || version > 1 || pool.stats().used_bytes > used);
                assert_eq!(pool.version(), if round < 2 { version } else { FORMAT_VERSION });
                assert_eq!(pool.stats().history.is_some(), pool.version() > 1);
                let mut medium = pool.close().unwrap();
                if round == 1 {
                    let grown = Pool::grow(&medium).map(drop);
                    assert_eq!(grown.err(), (version == 1).then_some(Error::OldVersion { found: 1 }));
                    medium = Pool::migrate(medium).unwrap().0;
                }
                assert_eq!(inspect(&medium).unwrap().report.damage, [], "{name}");
                pool = Pool::open(medium).unwrap();
                assert_eq!(pool.report().tail, Tail::Clean, "{name}, round {round}");
            }
        }
    }
}
