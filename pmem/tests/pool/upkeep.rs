//! Growing and migrating stopped pools.

use pmem::pool::{Growth, Migration, Tail};
use pmem::sim::{Event, Memory};
use pmem::{Error, FormatOptions, Pool, inspect};

const MIB: u64 = 1 << 20;

fn put(pool: &mut Pool<Memory>, number: u32) -> Result<(), Error> {
    let key = number.to_le_bytes();
    pool.turn(|turn| turn.put(&key, &[number as u8; 3000], None)).unwrap().0
}

fn longer(memory: &Memory, len: u64) -> Memory {
    let mut image = memory.image();
    image.resize(len as usize, 0);
    Memory::from(image)
}

/// A full pool.
fn full() -> (Memory, u32) {
    let mut pool = Pool::format(Memory::new(MIB), &FormatOptions::new([7; 16])).unwrap();
    let mut count = 0;
    while put(&mut pool, count).is_ok() {
        count += 1;
    }
    (pool.close().unwrap(), count)
}

#[test]
fn a_pool_on_a_longer_medium_is_used_as_it_was_and_says_so() {
    let (memory, count) = full();
    let memory = longer(&memory, 2 * MIB + 100);
    for _ in 0..2 {
        let inspection = inspect(&memory).unwrap();
        assert_eq!((inspection.len, inspection.report.unused_bytes), (MIB, MIB + 100));
        assert!(inspection.report.damage.is_empty() && inspection.to_string().contains("pool grow"), "{inspection}");
        let mut pool = Pool::open(&memory).unwrap();
        assert_eq!((pool.stats().keys, pool.report().unused_bytes), (u64::from(count), MIB + 100));
        let removed = pool.turn(|turn| turn.remove(&0u32.to_le_bytes())).unwrap().0;
        removed.and_then(|_| pool.turn(|turn| turn.put(&0u32.to_le_bytes(), b"again", None)).unwrap().0).unwrap();
        pool.close().unwrap();
        assert!(memory.image()[MIB as usize..].iter().all(|byte| *byte == 0));
    }
    // The other superblock is found by what the damaged one says of the length.
    let mut image = memory.image();
    image[50] ^= 1;
    let pool = Pool::open(Memory::from(image)).unwrap();
    assert_eq!((pool.stats().keys, pool.report().damage.len()), (u64::from(count), 1));
}

#[test]
fn a_full_pool_that_grows_has_room() {
    let (memory, count) = full();
    let memory = longer(&memory, 3 * MIB);
    let (memory, growth) = Pool::grow(memory).unwrap();
    assert_eq!(growth, Growth::Done { from: MIB, segments: 32 });
    let image = memory.image();
    let former = MIB as usize - 4096;
    assert!(image[former..][..4096 - 64].iter().all(|byte| *byte == 0), "the former second superblock is still there");
    assert_eq!(image[..256], image[3 * MIB as usize - 4096..][..256]);
    let inspection = inspect(&memory).unwrap();
    let report = &inspection.report;
    assert_eq!((inspection.len, report.unused_bytes, report.segments, report.damage.len()), (3 * MIB, 0, 46, 0));
    let mut pool = Pool::open(memory).unwrap();
    assert_eq!((pool.stats().keys, pool.report().tail), (u64::from(count), Tail::Clean));
    for number in count..2 * count {
        put(&mut pool, number).unwrap();
    }
    let (memory, growth) = Pool::grow(pool.close().unwrap()).unwrap();
    assert_eq!(growth, Growth::NotNeeded);
    let mut pool = Pool::open(memory).unwrap();
    for number in 0..2 * count {
        let mut value = Vec::new();
        pool.turn(|turn| turn.get(&number.to_le_bytes(), &mut value)).unwrap().0.unwrap();
        assert!(value == [number as u8; 3000], "{number}");
    }
}

/// The power goes when all is prepared for the second superblock at the new end.
#[test]
fn a_growth_that_is_given_up_leaves_nothing_of_it() {
    let (memory, count) = full();
    let memory = longer(&memory, 2 * MIB);
    let mut image = memory.image();
    memory.record();
    let (memory, _) = Pool::grow(memory).unwrap();
    let second = 2 * MIB - 4096;
    for event in memory.record() {
        match event {
            Event::Store { offset, bytes } if offset == second && bytes == b"HFCHANGE" => break,
            Event::Store { offset, bytes } => image[offset as usize..][..bytes.len()].copy_from_slice(&bytes),
            Event::WriteBack(_) | Event::Fence => {}
        }
    }
    let (former, magic) = (MIB as usize - 4096, image[..8].to_vec());
    assert!(magic == b"HFGROWNG" && image[former..][..256] == [0; 256] && image[MIB as usize - 64] != 0);
    let medium = Memory::from(image);
    assert!(inspect(&medium).unwrap().report.damage.is_empty());
    let medium = Pool::open(medium).unwrap().close().unwrap();
    let image = medium.image();
    assert!(image.starts_with(b"HOLDFAST") && image[..4096] == image[former..][..4096]);
    for len in [2 * MIB, MIB] {
        let inspection = inspect(&Memory::from(image[..len as usize].to_vec())).unwrap();
        assert_eq!((inspection.len, inspection.report.keys), (MIB, u64::from(count)));
        assert_eq!(inspection.report.damage, []);
    }
}

/// Less than a page more is nothing to gain: the second superblock would stay where it is.
#[test]
fn a_pool_does_not_grow_by_less_than_a_page() {
    let (memory, _) = full();
    let memory = longer(&memory, MIB + 4088);
    let before = memory.image();
    let (memory, growth) = Pool::grow(memory).unwrap();
    assert!(growth == Growth::NotNeeded && memory.image() == before);
}

#[test]
fn a_pool_of_this_version_needs_no_migration() {
    let (memory, _) = full();
    let before = memory.image();
    let (memory, migration) = Pool::migrate(memory).unwrap();
    assert!(migration == Migration::NotNeeded && memory.image() == before);
}
