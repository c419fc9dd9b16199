//! What one turn costs, and what it sees of its own writes.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{Counters, Error, FormatOptions, Op, Pool, Turn, ValueType};

const MIB: u64 = 1 << 20;

fn fresh(len: u64) -> Pool<Memory> {
    Pool::format(Memory::new(len), &FormatOptions::new([3; 16])).unwrap()
}

/// What a turn cost the medium.
fn cost(pool: &mut Pool<Memory>, f: impl FnOnce(&mut Turn<'_, Memory>)) -> Counters {
    let before = pool.stats().medium;
    let ((), _durable) = pool.turn(f).unwrap();
    let after = pool.stats().medium;
    Counters {
        fences: after.fences - before.fences,
        bytes_stored: after.bytes_stored - before.bytes_stored,
        write_grants: after.write_grants - before.write_grants,
        ..Counters::default()
    }
}

/// All keys, as a scan finds them.
fn scanned(turn: &mut Turn<'_, Memory>, count: usize) -> Result<Vec<Vec<u8>>, Error> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = turn.scan(cursor, count, |key, _| keys.push(key.to_vec()))?;
        if cursor == 0 {
            keys.sort();
            return Ok(keys);
        }
    }
}

#[test]
fn counting_scanning_and_drawing_after_writes_cost_no_fence_of_their_own() {
    let mut pool = fresh(4 * MIB);
    let ((), _durable) = pool.turn(|turn| turn.put(b"old", b"", None).unwrap()).unwrap();
    let batch = cost(&mut pool, |turn| {
        for number in 0..60u8 {
            turn.put(&[number], b"value", None).unwrap();
            assert_eq!(turn.len().unwrap(), 2 + u64::from(number));
            assert_eq!(scanned(turn, 10).unwrap().len(), 2 + usize::from(number));
            assert!(turn.random(u64::from(number), &mut Vec::new()).unwrap().is_some());
        }
    });
    assert_eq!((batch.fences, batch.write_grants), (1, 1));
}

/// Who draws keys and removes each, because it has expired, pays for the batch and not for each key.
#[test]
fn drawing_keys_and_removing_them_costs_one_fence() {
    let mut pool = fresh(64 * MIB);
    let ((), _durable) = pool
        .turn(|turn| {
            for number in 0..2487u32 {
                turn.put(&number.to_le_bytes(), b"", Some(1)).unwrap();
            }
        })
        .unwrap();
    let batch = cost(&mut pool, |turn| {
        for seed in 0..2487u64 {
            let mut key = Vec::new();
            turn.random(seed, &mut key).unwrap().expect("there are some left");
            assert!(turn.remove(&key).unwrap(), "a key is drawn that is not there");
        }
        assert_eq!(turn.random(1, &mut Vec::new()).unwrap(), None);
        assert!(turn.is_empty().unwrap());
    });
    assert_eq!(batch.fences, 1);
    assert_eq!(pool.stats().keys, 0);
}

#[test]
fn reads_over_all_keys_see_what_is_staged() {
    for seed in 0..6 {
        let mut random = Rng::with_seed(seed);
        let mut pool = fresh(4 * MIB);
        let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for round in 0..12 {
            if round % 4 == 3 {
                pool = Pool::open(pool.close().unwrap()).unwrap();
            }
            let (result, _durable) = pool
                .turn(|turn| {
                    for _ in 0..120 {
                        let key = format!("key-{}", random.u64(..700)).into_bytes();
                        match random.u64(..200) {
                            0 => {
                                turn.clear()?;
                                model.clear();
                            }
                            1 => turn.settle()?,
                            2..90 => {
                                turn.remove(&key)?;
                                model.remove(&key);
                            }
                            _ => {
                                // Some lie in chunks.
                                let len = if random.u64(..9) == 0 { 9000 } else { random.u64(..50) };
                                turn.put(&key, &vec![1; len as usize], Some(len))?;
                                model.insert(key, len);
                            }
                        }
                        if random.u64(..6) == 0 {
                            assert_eq!(turn.len()?, model.len() as u64);
                            let keys: Vec<_> = model.keys().cloned().collect();
                            assert_eq!(scanned(turn, 1 + random.u64(..40) as usize)?, keys);
                            let mut key = Vec::new();
                            let drawn = turn.random(random.u64(..1 << 30), &mut key)?;
                            assert_eq!(drawn.map(|meta| meta.len), model.get(&key).copied());
                            assert_eq!(drawn.is_some(), !model.is_empty());
                        }
                    }
                    Ok::<(), Error>(())
                })
                .unwrap();
            result.unwrap();
        }
    }
}

/// A key that stays is visited, whether it is staged or stored, and whether it becomes stored between two steps.
#[test]
fn a_scan_visits_every_key_that_stays_staged_or_not() {
    let mut random = Rng::with_seed(8);
    let mut pool = fresh(8 * MIB);
    let mut seen = vec![0; 400];
    let mut cursor = 0;
    let stays = |number: u64| format!("stays-{number}").into_bytes();
    let ((), _durable) = pool.turn(|turn| (0..200).for_each(|it| turn.put(&stays(it), b"", None).unwrap())).unwrap();
    let mut first = true;
    while first || cursor != 0 {
        let ((), _durable) = pool
            .turn(|turn| {
                if first {
                    (200..400).for_each(|it| turn.put(&stays(it), b"", None).unwrap());
                }
                for _ in 0..3 {
                    // Others come and go, and the table grows and shrinks.
                    for _ in 0..300 {
                        let key = random.u64(..6000).to_le_bytes();
                        turn.put(&key, b"", None).unwrap();
                        turn.remove(&random.u64(..6000).to_le_bytes()).unwrap();
                    }
                    if !first && cursor == 0 {
                        return;
                    }
                    first = false;
                    cursor = turn
                        .scan(cursor, 20, |key, _| {
                            if let Some(number) = key.strip_prefix(b"stays-") {
                                seen[str::from_utf8(number).unwrap().parse::<usize>().unwrap()] += 1;
                            }
                        })
                        .unwrap();
                }
            })
            .unwrap();
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
}

#[test]
fn a_scan_that_has_visited_everything_says_so_at_once() {
    let mut pool = fresh(4 * MIB);
    let ((), _durable) = pool
        .turn(|turn| {
            turn.put(b"k", b"v", None).unwrap();
            assert_eq!(turn.scan(0, 1, |_, _| ()).unwrap(), 0);
        })
        .unwrap();
    assert_eq!(pool.turn(|turn| turn.scan(0, 1, |_, _| ())).unwrap().0.unwrap(), 0);
}

#[test]
fn large_values_share_the_fence_of_their_turn() {
    let mut pool = fresh(64 * MIB);
    let ((), _durable) = pool.turn(|turn| turn.put(b"first", b"segment", None).unwrap()).unwrap();
    let value: Vec<u8> = (0..100_000u32).map(|byte| (byte ^ byte >> 9) as u8).collect();
    let batch = cost(&mut pool, |turn| {
        for number in 0..4u8 {
            turn.put(b"large", &value[usize::from(number)..], Some(5)).unwrap();
            let mut part = Vec::new();
            let meta = turn.get_range(b"large", 60_000, 10_000, &mut part).unwrap().unwrap();
            assert_eq!((meta.len, meta.expires_at_ms), (100_000 - u64::from(number), Some(5)));
            assert!(part == value[60_000 + usize::from(number)..][..10_000]);
            turn.put(&[number], b"", None).unwrap();
        }
    });
    assert_eq!((batch.fences, batch.write_grants), (1, 1));
    let pool = &mut Pool::open(pool.close().unwrap()).unwrap();
    let mut whole = Vec::new();
    pool.turn(|turn| turn.get(b"large", &mut whole)).unwrap().0.unwrap();
    assert!(whole == value[3..]);
    assert!(pool.stats().live_bytes < 102_000, "what was replaced in the turn is dead");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|byte| (byte ^ byte >> 9) as u8).collect()
}

fn value(pool: &mut Pool<Memory>, key: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    pool.turn(|turn| turn.get(key, &mut value)).unwrap().0.unwrap();
    value
}

/// A pool with a large value, and a line written since.
fn with_large(len: usize) -> (Pool<Memory>, Vec<u8>) {
    let mut pool = fresh(128 * MIB);
    let value = pattern(len);
    let ((), _durable) = pool.turn(|turn| turn.put(b"large", &value, Some(9)).unwrap()).unwrap();
    (pool, value)
}

#[test]
fn a_small_change_to_a_large_value_writes_what_it_touches() {
    let (mut pool, mut expected) = with_large(16 << 20);
    let live = pool.stats().live_bytes;
    for (offset, bytes) in
        [(5_000_000, &b"x"[..]), (32_767, b"over"), (0, b"first"), ((16 << 20) - 1, b"last and more")]
    {
        expected.resize(expected.len().max(offset + bytes.len()), 0);
        expected[offset..offset + bytes.len()].copy_from_slice(bytes);
        let change = cost(&mut pool, |turn| {
            assert_eq!(turn.put_range(b"large", offset as u64, bytes).unwrap(), expected.len() as u64);
        });
        assert!(change.bytes_stored < 70_000, "{} bytes for {}", change.bytes_stored, bytes.len());
        assert!(value(&mut pool, b"large") == expected);
    }
    let pool = &mut Pool::open(pool.close().unwrap()).unwrap();
    assert_eq!(pool.report().damage, []);
    assert!(value(pool, b"large") == expected);
    let pool = &mut Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert_eq!(pool.report().damage, []);
    assert!(value(pool, b"large") == expected);
    let grown = pool.stats().live_bytes - live;
    assert!(grown < 200, "what was replaced is dead: {grown}");
    assert_eq!(pool.turn(|turn| turn.meta(b"large")).unwrap().0.unwrap().unwrap().expires_at_ms, Some(9));
    let ((), _durable) = pool.turn(|turn| assert!(turn.remove(b"large").unwrap())).unwrap();
    assert_eq!(pool.stats().live_bytes, 0);
}

#[test]
fn many_small_changes_to_a_large_value_in_one_turn_cost_what_they_touch() {
    let (mut pool, mut expected) = with_large(16 << 20);
    let turn = cost(&mut pool, |turn| {
        for number in 0..64 {
            let at = number * 7919 * 31 % expected.len();
            expected[at] = number as u8;
            turn.put_range(b"large", at as u64, &[number as u8]).unwrap();
        }
    });
    assert!(turn.bytes_stored < 64 * 34_000, "{}", turn.bytes_stored);
    // A turn that stages half a mebibyte commits early; a segment may end.
    assert!(turn.fences < 12, "{}", turn.fences);
    assert!(value(&mut pool, b"large") == expected);
}

#[test]
fn appending_to_a_large_value_writes_its_end() {
    let (mut pool, mut expected) = with_large(4 << 20);
    let turn = cost(&mut pool, |turn| {
        for number in 0..100 {
            expected.extend([number; 9]);
            assert_eq!(turn.append(b"large", &[number; 9]).unwrap(), expected.len() as u64);
        }
    });
    assert!(turn.bytes_stored < 100 * 1100, "{}", turn.bytes_stored);
    assert!(value(&mut pool, b"large") == expected);
}

/// From nothing to a value in chunks, by both, with holes: longer than a frame too.
#[test]
fn values_grow_from_nothing_by_parts() {
    let mut pool = fresh(16 * MIB);
    let mut expected = Vec::new();
    for (offset, len) in [(3, 1), (100, 50), (40_000, 3), (20_000, 20_000), (900_000, 1), (7, 600_000), (0, 1_000_000)]
    {
        let bytes = &pattern(len + 5)[5..];
        expected.resize(expected.len().max(offset + len), 0);
        expected[offset..offset + len].copy_from_slice(bytes);
        let (result, _durable) = pool.turn(|turn| turn.put_range(b"grows", offset as u64, bytes)).unwrap();
        assert_eq!(result.unwrap(), expected.len() as u64);
        assert!(value(&mut pool, b"grows") == expected);
        assert_eq!(
            pool.turn(|turn| turn.append(b"also", bytes)).unwrap().0.unwrap(),
            value(&mut pool, b"also").len() as u64
        );
        pool = Pool::open(pool.close().unwrap()).unwrap();
        assert!(value(&mut pool, b"grows") == expected);
    }
    let image = Memory::from(pool.medium().image());
    assert!(value(&mut Pool::open(image).unwrap(), b"grows") == expected);
}

/// What does not fit into a frame, half a segment: many small puts, few long ones, and removals.
#[test]
fn a_record_of_any_length_is_taken() {
    let mut pool = fresh(128 * MIB);
    let names: Vec<Vec<u8>> = (0..50_000).map(|number| format!("key-{number}").into_bytes()).collect();
    for (count, len) in [(50_000, 100), (60, 30_000), (60, 100_000)] {
        let value = pattern(len);
        let puts: Vec<_> = names[..count]
            .iter()
            .map(|key| Op::Put { key, value: &value, value_type: ValueType::STRING, expires_at_ms: None })
            .collect();
        pool.turn(|turn| turn.atomically(&puts)).unwrap().0.unwrap();
        assert_eq!(pool.stats().keys, 50_000);
        for name in [&names[0], &names[count / 2], &names[count - 1]] {
            let mut found = Vec::new();
            pool.turn(|turn| turn.get(name, &mut found)).unwrap().0.unwrap();
            assert!(found == value);
        }
        let live = pool.stats().live_bytes;
        pool = Pool::open(Memory::from(pool.medium().image())).unwrap();
        assert_eq!(pool.report().damage, []);
        assert_eq!((pool.stats().keys, pool.stats().live_bytes), (50_000, live));
    }
    let removals: Vec<_> = names.iter().map(|key| Op::Remove { key }).collect();
    pool.turn(|turn| turn.atomically(&removals)).unwrap().0.unwrap();
    assert_eq!((pool.stats().keys, pool.stats().live_bytes), (0, 0));
}

/// A record that the pool has no room for is refused, and leaves what was there, and the room.
#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut pool = fresh(8 * MIB);
    let ((), _durable) = pool.turn(|turn| turn.put(b"key-1", b"old", None).unwrap()).unwrap();
    let value = pattern(1000);
    let record = |pool: &mut Pool<Memory>, count: u32| {
        let names: Vec<Vec<u8>> = (0..count).map(|number| format!("key-{number}").into_bytes()).collect();
        let puts: Vec<_> = names
            .iter()
            .map(|key| Op::Put { key, value: &value, value_type: ValueType::STRING, expires_at_ms: None })
            .collect();
        pool.turn(|turn| turn.atomically(&puts)).unwrap().0
    };
    assert_eq!(record(&mut pool, 8000), Err(Error::Full));
    assert_eq!(pool.stats().keys, 1);
    record(&mut pool, 3000).unwrap();
    // As much anew as there is: both have to be there for a while.
    for round in 0..20 {
        record(&mut pool, 3000).unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    let pool = Pool::open(pool.close().unwrap()).unwrap();
    assert_eq!((pool.stats().keys, pool.report().damage.len()), (3000, 0));
}
