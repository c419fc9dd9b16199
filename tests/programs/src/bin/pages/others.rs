//! What other CPUs and threads make of changes: nothing stale, and nothing in between.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use libos::arch::percpu;
use libos::dax::{Device, Medium};
use libos::task;

use crate::guest::{MIB2, PAGE, check, peek, poke};

pub(crate) fn run(device: &'static Device) {
    check("readers-never-notice-a-split", || readers(device));
    check("a-cpu-that-remembers-a-protected-page-stores-once-it-is-writable", || remembered(device));
}

/// Threads on all CPUs read while pages below them are split, protected and made writable again.
fn readers(device: &'static Device) {
    let stop = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let expected: Vec<u64> = device.read_lock().unwrap().read(|_| (0..4).map(|n| peek(device, place(n))).collect());
    let readers: Vec<_> = (1..percpu::online_count().max(2))
        .map(|_| {
            let (stop, reads, expected) = (stop.clone(), reads.clone(), expected.clone());
            thread::spawn(move || {
                device.read_lock().unwrap().read(|_| {
                    while !stop.load(Ordering::Relaxed) {
                        for (number, value) in expected.iter().enumerate() {
                            assert_eq!(peek(device, place(number as u64)), *value);
                        }
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            })
        })
        .collect();
    for round in 0..60 {
        let page = place(round % 4) / PAGE * PAGE;
        device.set_writable(page..page + PAGE, round % 8 >= 4).unwrap();
        // Each round meets readers that have been around since the last one.
        let before = reads.load(Ordering::Relaxed);
        while reads.load(Ordering::Relaxed) == before {
            thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    device.set_writable(0..device.len(), true).unwrap();
}

/// Places in large pages that nothing has split yet.
fn place(number: u64) -> u64 {
    (3 + number / 2) * 2 * MIB2 + number * 17 * PAGE + 40
}

/// Another CPU has read a page while it was protected.
fn remembered(device: &'static Device) {
    let page = 12 * MIB2;
    device.set_writable(page..page + PAGE, false).unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let seen = steps.clone();
    let other = thread::spawn(move || {
        pin_to_last();
        device
            .read_lock()
            .unwrap()
            .write(|_| {
                peek(device, page);
                seen.store(1, Ordering::SeqCst);
                wait_for(&seen, 2);
                poke(device, page, 0x55);
            })
            .unwrap();
    });
    wait_for(&steps, 1);
    device.set_writable(page..page + PAGE, true).unwrap();
    steps.store(2, Ordering::SeqCst);
    other.join().unwrap();
    assert_eq!(device.read_lock().unwrap().read(|_| peek(device, page)), 0x55);
}

/// Keeps the running thread on the last CPU.
pub(crate) fn pin_to_last() {
    let this = NonZeroU32::new(task::current_id()).expect("a thread runs this");
    assert!(task::pin(this, Some(percpu::online_count() as u32 - 1)));
}

/// Spins, so that the CPU keeps what it remembers; where there is only one, the others get their turn.
pub(crate) fn wait_for(steps: &AtomicU64, step: u64) {
    while steps.load(Ordering::SeqCst) < step {
        if percpu::online_count() == 1 {
            thread::yield_now();
        }
        std::hint::spin_loop();
    }
}
