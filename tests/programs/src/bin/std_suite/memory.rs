//! The heap: large and small, growing, shared between threads, and full.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread;

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("large-allocations", large),
    ("growing-keeps-the-contents", growing),
    ("zeroed-memory-is-zero", zeroed),
    ("alignment", alignment),
    ("memory-comes-back", memory_comes_back),
    ("freed-by-another-thread", freed_elsewhere),
    ("many-threads-allocate", many_threads),
    ("too-much-is-an-error", too_much),
    ("full-is-an-error-and-not-the-end", full),
];

const MIB: usize = 1 << 20;

fn large() {
    let mut block = vec![0u8; 64 * MIB];
    for (page, byte) in block.iter_mut().step_by(4096).enumerate() {
        *byte = page as u8;
    }
    assert!(block.iter().step_by(4096).enumerate().all(|(page, &byte)| byte == page as u8));
}

fn growing() {
    let mut values = Vec::new();
    for number in 0..2_000_000u32 {
        values.push(number);
    }
    values.shrink_to_fit();
    assert!(values.iter().copied().eq(0..2_000_000));
    values.truncate(1000);
    values.shrink_to_fit();
    assert!(values.into_iter().eq(0..1000));
}

fn zeroed() {
    // Dirty some memory first, so that there is something to find.
    for size in [100, 5000, MIB, 8 * MIB] {
        drop(vec![0xa5u8; size]);
        assert!(vec![0u8; size].iter().all(|&byte| byte == 0));
    }
}

#[repr(align(4096))]
struct Page([u8; 4096]);

fn alignment() {
    let pages: Vec<Box<Page>> = (0..100).map(|number| Box::new(Page([number; 4096]))).collect();
    for (number, page) in pages.iter().enumerate() {
        assert_eq!(std::ptr::from_ref(&**page).addr() % 4096, 0);
        assert!(page.0.iter().all(|&byte| usize::from(byte) == number));
    }
}

fn memory_comes_back() {
    // Together far more than there is.
    for round in 0..64 {
        let block = vec![round as u8; 32 * MIB];
        assert_eq!(block[round * MIB / 4], round as u8);
    }
    let mut queue = VecDeque::new();
    for round in 0..200_000usize {
        queue.push_back(vec![round as u8; round % 977]);
        if queue.len() > 500 {
            let oldest = queue.pop_front().unwrap();
            assert!(oldest.iter().all(|&byte| byte == (round - 500) as u8));
        }
    }
}

fn freed_elsewhere() {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let freeing = thread::spawn(move || receiver.into_iter().map(|block| block.len()).sum::<usize>());
    for length in 0..20_000 {
        sender.send(vec![1; length % 300]).unwrap();
    }
    drop(sender);
    assert_eq!(freeing.join().unwrap(), (0..20_000).map(|length| length % 300).sum());
}

fn many_threads() {
    thread::scope(|scope| {
        for seed in 1..=8u64 {
            scope.spawn(move || {
                let mut random = seed;
                let mut kept: Vec<Vec<u64>> = Vec::new();
                for _ in 0..5000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let length = (random >> 33) as usize % 200;
                    if kept.len() > 50 {
                        let block = kept.swap_remove(length % 50);
                        assert!(block.iter().all(|&word| word == block[0]));
                    }
                    kept.push(vec![random; length]);
                }
            });
        }
    });
}

fn too_much() {
    for size in [1 << 40, isize::MAX as usize] {
        assert!(Vec::<u8>::new().try_reserve_exact(size).is_err(), "{size} bytes");
    }
}

fn full() {
    if cfg!(not(target_os = "hermit")) {
        // Linux gives more than it has.
        return;
    }
    let mut kept = Vec::new();
    loop {
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(4 * MIB).is_err() {
            break;
        }
        block.resize(4 * MIB, kept.len() as u8);
        kept.push(block);
    }
    println!("the heap gave {} blocks of 4 MiB", kept.len());
    assert!(kept.len() > 10);
    assert!(kept.iter().enumerate().all(|(number, block)| block.iter().all(|&byte| byte == number as u8)));
    kept.pop();
    println!("and goes on after one came back: {}", vec![1u8; 3 * MIB].len());
}
