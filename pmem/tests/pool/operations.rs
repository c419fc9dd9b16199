//! The pool's operations, one by one.

use pmem::pool::DamageKind;
use pmem::sim::Memory;
use pmem::{Error, FormatOptions, Medium, Meta, Op, Pool, Turn, ValueType};

const MIB: u64 = 1 << 20;

fn options() -> FormatOptions {
    FormatOptions::new(*b"0123456789abcdef")
}

fn fresh(len: u64) -> Pool<Memory> {
    Pool::format(Memory::new(len), &options()).unwrap()
}

fn turn<R>(pool: &mut Pool<Memory>, f: impl FnOnce(&mut Turn<'_, Memory>) -> R) -> R {
    pool.turn(f).unwrap().0
}

fn put(pool: &mut Pool<Memory>, key: &[u8], value: &[u8]) {
    turn(pool, |turn| turn.put(key, value, None)).unwrap();
}

fn get(pool: &mut Pool<Memory>, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let meta = turn(pool, |turn| turn.get(key, &mut value)).unwrap();
    if let Some(meta) = meta {
        assert_eq!(meta.len, value.len() as u64);
    }
    meta.map(|_| value)
}

fn reopen(pool: Pool<Memory>) -> Pool<Memory> {
    let pool = Pool::open(pool.close().unwrap()).unwrap();
    assert_eq!(pool.report().tail, pmem::pool::Tail::Clean);
    assert_eq!(pool.report().damage, []);
    pool
}

#[test]
fn values_are_read_back_before_and_after_reopening() {
    let mut pool = fresh(4 * MIB);
    put(&mut pool, b"one", b"1");
    put(&mut pool, b"", b"the empty key");
    put(&mut pool, b"empty", b"");
    put(&mut pool, b"one", b"uno");
    for _ in 0..2 {
        assert_eq!(get(&mut pool, b"one").unwrap(), b"uno");
        assert_eq!(get(&mut pool, b"").unwrap(), b"the empty key");
        assert_eq!(get(&mut pool, b"empty").unwrap(), b"");
        assert_eq!(get(&mut pool, b"two"), None);
        pool = reopen(pool);
        assert_eq!(pool.stats().keys, 3);
    }
}

#[test]
fn a_turn_sees_its_own_writes() {
    let mut pool = fresh(4 * MIB);
    put(&mut pool, b"old", b"old");
    turn(&mut pool, |turn| {
        let mut value = Vec::new();
        turn.put(b"new", b"1", Some(77)).unwrap();
        turn.put(b"new", b"2", Some(78)).unwrap();
        assert_eq!(
            turn.get(b"new", &mut value).unwrap(),
            Some(Meta { len: 1, value_type: ValueType::STRING, expires_at_ms: Some(78) })
        );
        assert_eq!(value, b"2");
        assert!(turn.remove(b"old").unwrap());
        assert!(!turn.remove(b"old").unwrap());
        assert!(!turn.contains(b"old").unwrap());
        assert_eq!(turn.len().unwrap(), 1);
        turn.clear().unwrap();
        assert!(!turn.contains(b"new").unwrap());
        turn.put(b"late", b"3", None).unwrap();
        assert_eq!(turn.len().unwrap(), 1);
    });
    let mut pool = reopen(pool);
    assert_eq!(get(&mut pool, b"old"), None);
    assert_eq!(get(&mut pool, b"new"), None);
    assert_eq!(get(&mut pool, b"late").unwrap(), b"3");
}

#[test]
fn large_values_are_read_whole_and_in_parts() {
    let mut pool = fresh(64 * MIB);
    let value: Vec<u8> = (0..20 * MIB as u32).map(|byte| (byte ^ byte >> 9) as u8).collect();
    put(&mut pool, b"large", &value);
    put(&mut pool, b"large", &value);
    let live = pool.stats().live_bytes;
    assert!(live > value.len() as u64 && live < value.len() as u64 * 101 / 100, "{live}");
    for _ in 0..2 {
        assert_eq!(get(&mut pool, b"large").unwrap(), value);
        for (from, len) in [(0, 1), (32767, 2), (5_000_000, 100_000), (value.len() - 3, 10), (value.len() + 5, 10)] {
            let mut part = Vec::new();
            let meta = turn(&mut pool, |turn| turn.get_range(b"large", from as u64, len as u64, &mut part));
            assert_eq!(meta.unwrap().unwrap().len, value.len() as u64);
            let from = from.min(value.len());
            assert_eq!(part, value[from..(from + len).min(value.len())]);
        }
        pool = reopen(pool);
        assert_eq!(pool.stats().live_bytes, live);
    }
    turn(&mut pool, |turn| turn.remove(b"large")).unwrap();
    assert_eq!(pool.stats().live_bytes, 0);
    assert_eq!(reopen(pool).stats().live_bytes, 0);
}

#[test]
fn an_atomic_record_applies_its_operations_in_order() {
    let mut pool = fresh(8 * MIB);
    put(&mut pool, b"from", b"value");
    let large = vec![7; 300_000];
    turn(&mut pool, |turn| {
        turn.atomically(&[
            Op::Remove { key: b"from" },
            Op::Put { key: b"to", value: b"first", value_type: ValueType::STRING, expires_at_ms: None },
            Op::Put { key: b"big", value: &large, value_type: ValueType::STRING, expires_at_ms: Some(5) },
            Op::Put { key: b"to", value: b"value", value_type: ValueType::STRING, expires_at_ms: None },
            Op::Remove { key: b"never there" },
        ])
    })
    .unwrap();
    for _ in 0..2 {
        assert_eq!(get(&mut pool, b"from"), None);
        assert_eq!(get(&mut pool, b"to").unwrap(), b"value");
        assert_eq!(get(&mut pool, b"big").unwrap(), large);
        assert_eq!(pool.stats().keys, 2);
        pool = reopen(pool);
    }
}

#[test]
fn limits_are_errors_that_name_them() {
    let mut pool = fresh(64 * MIB);
    let limit = pool.key_limit();
    let key = vec![b'k'; limit as usize + 1];
    let error = turn(&mut pool, |turn| turn.put(&key, b"", None)).unwrap_err();
    assert_eq!(error, Error::TooLarge { what: "a key", len: limit + 1, limit });
    put(&mut pool, &key[1..], b"fits");
    assert_eq!(get(&mut pool, &key[1..]).unwrap(), b"fits");
    assert_eq!(fresh(256 * MIB).key_limit(), 65535);
    let error = Pool::format(Memory::new(MIB / 2), &options()).unwrap_err();
    assert!(matches!(error, Error::TooSmall { .. }), "{error}");
}

#[test]
fn a_small_put_costs_two_lines_and_one_fence() {
    let mut pool = fresh(4 * MIB);
    put(&mut pool, b"warm", b"up");
    let before = pool.stats().medium;
    put(&mut pool, b"sixteen-byte-key", &[1; 64]);
    let alone = pool.stats().medium;
    assert_eq!(alone.lines_written_back - before.lines_written_back, 2);
    assert_eq!(alone.fences - before.fences, 1);
    assert_eq!((alone.read_grants - before.read_grants, alone.write_grants - before.write_grants), (1, 1));
    turn(&mut pool, |turn| {
        for number in 0..16u8 {
            turn.put(&[number; 16], &[number; 64], None).unwrap();
        }
    });
    let piped = pool.stats().medium;
    // 16 frames of 112 bytes, and the batch's link.
    assert_eq!(piped.lines_written_back - alone.lines_written_back, 29);
    assert_eq!(piped.fences - alone.fences, 1);
    assert_eq!(piped.write_grants - alone.write_grants, 1);
    get(&mut pool, b"warm");
    assert_eq!(pool.stats().medium.write_grants, piped.write_grants);
}

#[test]
fn a_scan_visits_every_key_that_stays_while_others_come_and_go() {
    let mut pool = fresh(16 * MIB);
    let key = |number: u32| format!("key:{number}").into_bytes();
    for number in 0..3000 {
        put(&mut pool, &key(number), b"v");
    }
    let mut seen = std::collections::HashMap::new();
    let mut cursor = 0;
    let mut calls = 0;
    loop {
        cursor = turn(&mut pool, |turn| {
            turn.scan(cursor, 10, |key, meta| {
                assert_eq!(meta.len, 1);
                *seen.entry(key.to_vec()).or_insert(0) += 1;
            })
        })
        .unwrap();
        // First the table grows under the scan, then it shrinks.
        turn(&mut pool, |turn| {
            for extra in 0..60 {
                let number = 10_000 + calls % 100 * 60 + extra;
                if calls < 100 {
                    turn.put(&key(number), b"x", None).unwrap();
                } else {
                    turn.remove(&key(number)).unwrap();
                }
            }
        });
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert!((0..3000).all(|number| seen.contains_key(&key(number))));
    assert!(turn(&mut pool, |turn| turn.scan(u64::MAX, 10, |_, _| {})).is_ok());
}

#[test]
fn random_keys_are_about_even() {
    let mut pool = fresh(4 * MIB);
    assert_eq!(turn(&mut pool, |turn| turn.random(1, &mut Vec::new())).unwrap(), None);
    for number in 0..20u8 {
        put(&mut pool, &[number], b"v");
    }
    let mut counts = [0; 20];
    for seed in 0..4000 {
        let mut key = Vec::new();
        turn(&mut pool, |turn| turn.random(seed, &mut key)).unwrap().unwrap();
        counts[usize::from(key[0])] += 1;
    }
    assert!(counts.iter().all(|count| (120..300).contains(count)), "{counts:?}");
}

#[test]
fn clearing_survives_and_makes_room() {
    let mut pool = fresh(MIB);
    for round in 0..40u32 {
        turn(&mut pool, |turn| {
            for number in 0..2000u32 {
                turn.put(&number.to_le_bytes(), &round.to_le_bytes(), None).unwrap();
            }
        });
        turn(&mut pool, |turn| turn.clear()).unwrap();
        assert_eq!(pool.stats().keys, 0);
        put(&mut pool, b"kept", &round.to_le_bytes());
        pool = reopen(pool);
        assert_eq!(pool.stats().keys, 1);
        assert_eq!(get(&mut pool, b"kept").unwrap(), round.to_le_bytes());
    }
}

#[test]
fn a_full_pool_refuses_puts_and_recovers_by_removal() {
    for value_len in [10, 400, 9000, 70_000] {
        let mut pool = fresh(2 * MIB);
        let value = vec![1; value_len];
        let mut keys = 0u32;
        let error = loop {
            if let Err(error) = turn(&mut pool, |turn| turn.put(&keys.to_le_bytes(), &value, None)) {
                break error;
            }
            keys += 1;
        };
        assert_eq!(error, Error::Full);
        let stats = pool.stats();
        assert!(stats.live_bytes * 10 > stats.capacity_bytes * 9 || value_len > 50_000, "{stats:?}");
        // Overwriting, and reading, go on.
        for number in 0..keys {
            put(&mut pool, &number.to_le_bytes(), &value);
        }
        for number in 0..keys {
            assert_eq!(get(&mut pool, &number.to_le_bytes()).unwrap(), value, "{number} of {keys}");
            assert!(turn(&mut pool, |turn| turn.remove(&number.to_le_bytes())).unwrap());
        }
        assert_eq!(pool.stats().live_bytes, 0);
        for number in 0..keys {
            put(&mut pool, &number.to_be_bytes(), &value);
        }
        assert_eq!(reopen(pool).stats().keys, u64::from(keys));
    }
}

#[test]
fn overwriting_goes_on_for_ever_at_a_steady_cost() {
    let mut pool = fresh(2 * MIB);
    let keys = 8000u32;
    let rounds = 15;
    for round in 0..rounds {
        for first in (0..keys).step_by(16) {
            turn(&mut pool, |turn| {
                for number in first..first + 16 {
                    let key = number * 7919 % keys;
                    turn.put(&key.to_le_bytes(), &[round; 90], None).unwrap();
                }
            });
        }
    }
    let stats = pool.stats();
    let written = u64::from(keys) * u64::from(rounds) * 128;
    assert!(stats.bytes_moved < 8 * written, "{stats:?}");
    for number in 0..keys {
        assert_eq!(get(&mut pool, &number.to_le_bytes()).map(|value| value.len()), Some(90), "{number}");
    }
    assert_eq!(reopen(pool).stats().keys, u64::from(keys));
}

#[test]
fn removals_do_not_pile_up() {
    let mut pool = fresh(MIB);
    for number in 0..3000u32 {
        put(&mut pool, &number.to_le_bytes(), &[1; 40]);
    }
    for number in 0..60_000u32 {
        let key = [b"short-lived".as_slice(), &number.to_le_bytes()].concat();
        put(&mut pool, &key, b"v");
        assert!(turn(&mut pool, |turn| turn.remove(&key)).unwrap());
    }
    let mut pool = reopen(pool);
    assert_eq!(pool.stats().keys, 3000);
    assert_eq!(get(&mut pool, &7u32.to_le_bytes()).unwrap(), [1; 40]);
}

/// The segments begin behind the first place where those of a small pool would.
#[test]
fn a_pool_with_large_segments_is_recognised_by_them_and_the_gap_before_them_is_checked() {
    let options = FormatOptions { segment_size: Some(2 << 20), ..options() };
    let image = Pool::format(Memory::new(20 * MIB), &options).unwrap().close().unwrap().image();
    let mut zeroed = image.clone();
    zeroed[..4096].fill(0);
    zeroed[20 * MIB as usize - 4096..].fill(0);
    assert_eq!(Pool::open(Memory::from(zeroed)).unwrap_err(), Error::Zeroed);
    for at in [64 << 10, (2 << 20) - 1] {
        let mut stray = image.clone();
        stray[at] = 1;
        let damage = pmem::inspect(&Memory::from(stray)).unwrap().report.damage;
        let [damage] = &damage[..] else { panic!("{damage:?}") };
        assert_eq!((damage.kind, damage.offset, damage.len), (DamageKind::Reserved, at as u64, 1));
    }
    assert!(pmem::inspect(&Memory::from(image)).unwrap().report.damage.is_empty());
}

#[test]
fn only_a_blank_medium_is_formatted_unasked() {
    let open = |bytes: Vec<u8>| Pool::open_or_format(Memory::from(bytes), &options()).map(|pool| pool.stats().keys);
    assert_eq!(Pool::open(Memory::new(MIB)).unwrap_err(), Error::Blank);
    assert_eq!(open(vec![0; MIB as usize]), Ok(0));
    let mut foreign = vec![0; MIB as usize];
    foreign[..4].copy_from_slice(b"\x7fELF");
    assert!(matches!(open(foreign.clone()), Err(Error::Foreign { .. })));

    let mut pool = fresh(MIB);
    put(&mut pool, b"k", b"v");
    let image = pool.close().unwrap().image();
    assert_eq!(open(image.clone()), Ok(1));
    assert_eq!(open(image[..900_000].to_vec()), Err(Error::Truncated { recorded: MIB, actual: 900_000 }));
    let mut grown = image.clone();
    grown.resize(2 * MIB as usize, 0);
    assert_eq!(open(grown), Ok(1));
    let mut zeroed = image.clone();
    zeroed[..4096].fill(0);
    assert_eq!(open(zeroed.clone()), Ok(1), "the other superblock is used");
    zeroed[MIB as usize - 4096..].fill(0);
    assert_eq!(open(zeroed.clone()), Err(Error::Zeroed));
    zeroed[..100 << 10].fill(0);
    assert_eq!(open(zeroed), Err(Error::Zeroed), "with the first segment too");
    let mut damaged = image.clone();
    damaged[80] ^= 1;
    damaged[MIB as usize - 4096 + 80] ^= 1;
    assert_eq!(open(damaged), Err(Error::SuperblockDamaged));
    assert_eq!(open(image[..5000].to_vec()), Err(Error::Truncated { recorded: MIB, actual: 5000 }));
    let other = Pool::format(Memory::new(MIB), &FormatOptions::new([8; 16])).unwrap().close().unwrap().image();
    let mixed = [&image[..500_000], &other[500_000..]].concat();
    assert_eq!(open(mixed), Err(Error::TwoPools));
    let mut foreign = image.clone();
    let second = MIB as usize - 4096;
    foreign[..4096].copy_from_slice(&other[..4096]);
    foreign[second..].copy_from_slice(&other[second..]);
    assert_eq!(pmem::pool::inspect(&Memory::from(foreign.clone())).unwrap_err(), Error::OtherSegments);
    assert_eq!(open(foreign), Err(Error::OtherSegments), "both superblocks of another pool");
}

#[test]
fn a_limited_index_refuses_new_keys_only() {
    let mut pool = fresh(4 * MIB);
    let dram = |pool: &Pool<Memory>| pool.stats().index_bytes + pool.stats().other_bytes;
    let limit = dram(&pool) + 100_000;
    pool.limit_memory(limit);
    let mut keys = 0u32;
    let error = loop {
        if let Err(error) = turn(&mut pool, |turn| turn.put(&keys.to_le_bytes(), b"v", None)) {
            break error;
        }
        keys += 1;
    };
    assert_eq!(error, Error::IndexFull);
    assert!((limit - 20_000..limit + 20_000).contains(&dram(&pool)) && keys > 6000, "{keys}, {}", dram(&pool));
    put(&mut pool, &0u32.to_le_bytes(), b"overwritten");
    for number in 0..keys {
        assert!(turn(&mut pool, |turn| turn.remove(&number.to_le_bytes())).unwrap());
    }
    assert_eq!(pool.stats().keys, 0);
}

/// Whatever a segment's fill is when the pool is closed, the next opening finds a clean end.
#[test]
fn every_shutdown_is_clean() {
    let mut pool = fresh(MIB);
    for round in 0..2200u32 {
        put(&mut pool, &(round % 50).to_le_bytes(), &[round as u8; 20]);
        if round % 3 == 0 {
            pool = reopen(pool);
        }
    }
    assert_eq!(pool.stats().keys, 50);
}

#[test]
fn a_refused_put_changes_nothing() {
    let mut pool = fresh(MIB);
    put(&mut pool, b"k", b"v");
    let huge = vec![1; 2 * MIB as usize];
    let live = pool.stats().live_bytes;
    assert_eq!(turn(&mut pool, |turn| turn.put(b"k", &huge, None)), Err(Error::Full));
    assert_eq!(pool.stats().live_bytes, live);
    assert_eq!(get(&mut pool, b"k").unwrap(), b"v");
    assert_eq!(pool.medium().len(), MIB);
}
