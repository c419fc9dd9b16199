//! The chain of batches: a receipt names a history of the pool, and parts of two histories do not pass for one.

use pmem::pool::{Damage, DamageKind};
use pmem::sim::Memory;
use pmem::{Durable, FormatOptions, Pool, inspect};

const LEN: u64 = 1 << 20;
const SEGMENT: usize = 64 << 10;
const FIRST_SEGMENT: usize = 64 << 10;

fn formatted() -> Pool<Memory> {
    Pool::format(Memory::new(LEN), &FormatOptions::new([7; 16])).unwrap()
}

fn put(pool: &mut Pool<Memory>, key: u32, value: &[u8]) -> Durable {
    let (put, durable) = pool.turn(|turn| turn.put(&key.to_le_bytes(), value, None)).unwrap();
    put.unwrap();
    durable
}

/// Two images that were one after 20 batches, and went on with so many others of the same lengths.
fn histories(batches: u32) -> [Vec<u8>; 2] {
    let mut pool = formatted();
    for key in 0..20 {
        let _durable = put(&mut pool, key, &[0; 300]);
    }
    let image = pool.medium().image();
    [1, 2].map(|byte| {
        let mut pool = Pool::open(Memory::from(image.clone())).unwrap();
        for key in 0..batches {
            let _durable = put(&mut pool, 100 + key, &[byte; 300]);
        }
        pool.medium().image()
    })
}

fn damage(image: &[u8]) -> Vec<Damage> {
    let damage = inspect(&Memory::from(image.to_vec())).unwrap().report.damage;
    let pool = Pool::open(Memory::from(image.to_vec())).unwrap();
    assert_eq!(pool.report().damage, damage, "the tool and the opening disagree");
    damage
}

#[test]
fn a_receipt_names_a_history_and_not_only_a_number() {
    let mut pool = formatted();
    let mut links = Vec::new();
    for key in 0..50 {
        let durable = put(&mut pool, key, b"value");
        let found = inspect(pool.medium()).unwrap();
        assert_eq!((found.batch, found.link), (durable.commit(), durable.link()));
        links.push(durable.link());
    }
    links.sort_unstable();
    links.dedup();
    assert_eq!(links.len(), 50);
    // The same bytes, written in the same place, behind others.
    let [one, other] = histories(3).map(|image| {
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        put(&mut pool, 7, b"the same")
    });
    assert_eq!(one.commit(), other.commit());
    assert_ne!(one.link(), other.link());
    // And of another pool.
    let mut pool = Pool::format(Memory::new(LEN), &FormatOptions::new([8; 16])).unwrap();
    let first = [put(&mut pool, 0, b"value"), put(&mut formatted(), 0, b"value")];
    assert_eq!(first[0].commit(), first[1].commit());
    assert_ne!(first[0].link(), first[1].link());
}

/// However the pool is left and opened, the next batch names those before.
#[test]
fn the_chain_goes_on_over_openings_and_segments() {
    let mut pool = formatted();
    let mut closed = 0;
    for round in 0..60u32 {
        for key in 0..20 {
            let _durable = put(&mut pool, key, &[round as u8; 700]);
        }
        if round % 17 == 5 {
            pool.turn(|turn| turn.clear()).unwrap().0.unwrap();
        }
        let image = match round % 3 {
            0 => {
                closed += 1;
                pool.close().unwrap().image()
            }
            _ => pool.medium().image(),
        };
        assert_eq!(damage(&image), [], "round {round}");
        pool = Pool::open(Memory::from(image)).unwrap();
    }
    assert!(pool.stats().segments_cleaned > 0 || closed > 10);
}

#[test]
fn a_batch_of_another_history_is_found_and_its_records_count() {
    let [mut image, other] = histories(10);
    // A batch takes six lines; 20 of them, and a mark of one line, are before those that differ.
    let from = FIRST_SEGMENT + 64 + 20 * 384 + 64 + 3 * 384;
    let to = from + 384;
    assert!(image[from..to] != other[from..to]);
    image[from..to].copy_from_slice(&other[from..to]);
    let found = damage(&image);
    assert!(!found.is_empty() && found.iter().all(|damage| damage.kind == DamageKind::OtherHistory), "{found:?}");
    assert!((from as u64..=to as u64).contains(&found[0].offset), "{found:?} at {from:#x}");
    let mut pool = Pool::open(Memory::from(image)).unwrap();
    assert_eq!((pool.stats().keys, pool.stats().quarantined_bytes), (30, SEGMENT as u64));
    let _durable = put(&mut pool, 5, b"in another segment");
    pool.repair().unwrap();
    let pool = Pool::open(pool.close().unwrap()).unwrap();
    assert_eq!((pool.report().damage.len(), pool.stats().keys), (0, 30));
}

/// Of the same use, with the same numbers, and whole in itself: only the links tell.
#[test]
fn a_segment_of_another_history_is_found() {
    let [image, other] = histories(600);
    assert_eq!((damage(&image), damage(&other)), (Vec::new(), Vec::new()));
    for segment in 1..3 {
        let range = FIRST_SEGMENT + segment * SEGMENT..FIRST_SEGMENT + (segment + 1) * SEGMENT;
        assert_eq!(image[range.clone()][..64], other[range.clone()][..64], "the headers are the same");
        assert!(image[range.clone()] != other[range.clone()]);
        let mut image = image.clone();
        image[range.clone()].copy_from_slice(&other[range.clone()]);
        let found = damage(&image);
        assert!(found.iter().any(|damage| damage.kind == DamageKind::OtherHistory), "{found:?}");
        assert!(range.contains(&(found[0].offset as usize)), "{found:?}");
    }
}
