//! Ways that end in a fault: stores that a grant permits and the page does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use libos::dax::{Device, Medium};
use libos::task;

use crate::guest::{MIB2, PAGE, peek, poke};
use crate::others::{pin_to_last, wait_for};

/// The page that is protected, and where in it a store goes.
const PROTECTED: u64 = 7 * MIB2 + 3 * PAGE;
const OFFSET: u64 = PROTECTED + 0x128;

pub(crate) fn run(way: &str, device: &'static Device) {
    match way {
        "in-a-write-grant" => {
            device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
            device.read_lock().unwrap().write(|_| poke(device, OFFSET, 0x66)).unwrap();
        }
        "without-a-grant" => {
            device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
            poke(device, OFFSET, 0x66);
        }
        "in-a-thread" => {
            device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
            let store = || device.read_lock().unwrap().write(|_| poke(device, OFFSET, 0x66)).unwrap();
            let astray = thread::spawn(store);
            while task::ended_count() == 0 && !astray.is_finished() {
                thread::yield_now();
            }
            println!("pages: {} thread ended", task::ended_count());
        }
        "on-another-cpu" => another_cpu(device),
        "execute" => {
            let code = device.address_range().start + OFFSET;
            // SAFETY: none: nothing in pmem can run, which this is to show.
            let function: extern "C" fn() = unsafe { std::mem::transmute(code) };
            device.read_lock().unwrap().write(|_| function()).unwrap();
        }
        _ => panic!("no such way"),
    }
}

/// How often a thread stores to a page that it could store to a moment ago.
const ROUNDS: u64 = 20;

/// A thread on another CPU has stored to a page, so its CPU remembers that it may. Once the page is protected it must
/// not any more. Each thread that is denied ends, and the next one tries with the next page: a CPU forgets by itself
/// now and then.
fn another_cpu(device: &'static Device) {
    let mut late = 0;
    for round in 0..ROUNDS {
        let page = PROTECTED + round * PAGE;
        let offset = page + (OFFSET - PROTECTED);
        let steps = Arc::new(AtomicU64::new(0));
        let seen = steps.clone();
        let writer = thread::spawn(move || {
            pin_to_last();
            device
                .read_lock()
                .unwrap()
                .write(|_| {
                    let there = peek(device, offset);
                    poke(device, offset, there);
                    seen.store(1, Ordering::SeqCst);
                    wait_for(&seen, 2);
                    poke(device, offset, 0x66);
                })
                .unwrap();
        });
        wait_for(&steps, 1);
        device.set_writable(page..page + PAGE, false).unwrap();
        steps.store(2, Ordering::SeqCst);
        while task::ended_count() + late <= round {
            late += u64::from(writer.is_finished());
            thread::yield_now();
        }
    }
    println!("pages: {} threads ended, {late} stored late", task::ended_count());
}
