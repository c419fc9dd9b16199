use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Index, PAGE_BYTES, SLOTS, split_mix};

/// Hashes that collide a lot: few low bits, few tags.
fn hash() -> impl Strategy<Value = u64> {
    prop_oneof![0..8u64, (0..40u64).prop_map(|high| high << 20), any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_map(ops in proptest::collection::vec((hash(), 1..200u64, 0..3u8), 0..if cfg!(miri) { 60 } else { 600 })) {
        let mut index = Index::new().unwrap();
        let mut model = BTreeMap::new();
        for (hash, number, op) in ops {
            // The place stands for the key.
            let place = number * 8;
            let known = model.get(&place).copied();
            match (known, op) {
                (None, _) => {
                    index.reserve(1, u64::MAX).unwrap();
                    index.insert(hash, place);
                    model.insert(place, hash);
                }
                (Some(hash), 0) => {
                    let slot = index.find_place(hash, place).unwrap();
                    index.remove(hash, slot);
                    model.remove(&place);
                }
                (Some(hash), _) => {
                    let slot = index.find_place(hash, place).unwrap();
                    let moved = place + 8 * 1000 * u64::from(op);
                    if !model.contains_key(&moved) {
                        index.replace(slot, moved);
                        model.remove(&place);
                        model.insert(moved, hash);
                    }
                }
            }
        }
        prop_assert_eq!(index.len(), model.len() as u64);
        for (place, hash) in &model {
            prop_assert!(index.find_place(*hash, *place).is_some());
        }
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = index.scan(cursor, |place| { seen.insert(place); });
            if cursor == 0 { break }
        }
        prop_assert!(seen.iter().eq(model.keys()));
        prop_assert_eq!(index.random(7).unwrap().is_some(), !model.is_empty());
    }
}

#[test]
fn grows_and_shrinks_by_buckets_and_stays_compact() {
    let mut index = Index::new().unwrap();
    let mut state = 1;
    let hashes: Vec<u64> = (0..200_000).map(|_| split_mix(&mut state)).collect();
    for (number, hash) in hashes.iter().enumerate() {
        index.reserve(1, u64::MAX).unwrap();
        index.insert(*hash, (number as u64 + 1) * 8);
        if number > 20_000 {
            let per_key = index.bytes() as f64 / index.len() as f64;
            assert!(per_key < 8.0 * (SLOTS + 1) as f64 / 4.5 + 6.0, "{per_key} bytes per key at {number}");
        }
    }
    for (number, hash) in hashes.iter().enumerate() {
        let slot = index.find_place(*hash, (number as u64 + 1) * 8).unwrap();
        index.remove(*hash, slot);
    }
    assert_eq!((index.len(), index.pages.len(), index.overflow.len()), (0, 1, 1));
    assert_eq!(index.spare_len, index.overflow_len);
}

#[test]
fn without_room_chains_grow_in_place_of_the_table_until_nothing_can_be_reserved() {
    let mut index = Index::new().unwrap();
    let mut state = 3;
    let mut hashes = Vec::new();
    let limit = 40 * PAGE_BYTES;
    while index.reserve(1, limit.saturating_sub(index.bytes())).is_ok() {
        hashes.push(split_mix(&mut state));
        index.insert(hashes[hashes.len() - 1], hashes.len() as u64 * 8);
    }
    assert!(index.bytes() <= limit + PAGE_BYTES && index.bytes() > limit - PAGE_BYTES, "{}", index.bytes());
    assert!(index.bytes() / index.len() < 16, "{} entries in {} bytes", index.len(), index.bytes());
    let find = |index: &Index, number: usize| index.find_place(hashes[number], (number as u64 + 1) * 8);
    assert!((0..hashes.len()).all(|number| find(&index, number).is_some()));
    // Taking out needs no room, and makes some.
    index.room = 0;
    for (number, hash) in hashes.iter().enumerate() {
        let slot = find(&index, number).unwrap();
        index.remove(*hash, slot);
    }
    assert_eq!((index.len(), index.spare_len), (0, index.overflow_len));
    assert!(index.bytes() < 3 * PAGE_BYTES && index.reserve(1000, 4 * PAGE_BYTES).is_ok());
}

#[test]
fn a_table_that_is_cleared_has_room_for_what_is_to_come() {
    let mut index = Index::new().unwrap();
    for number in 1..50_000u64 {
        index.reserve(1, u64::MAX).unwrap();
        index.insert(number << 8, number * 8);
    }
    index.reserve(1000, u64::MAX).unwrap();
    index.clear(1000, index.page_to_clear().unwrap());
    assert!((index.len(), index.pages.len(), index.overflow.len()) == (0, 1, 4) && index.bytes() < 6 * PAGE_BYTES);
    index.room = 0;
    (1..=1000).for_each(|number| index.insert(0, number * 8));
    assert!((1..=1000).all(|number| index.find_place(0, number * 8).is_some()));
}
