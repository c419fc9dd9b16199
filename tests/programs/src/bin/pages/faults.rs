//! Ways that end in a fault: stores that a grant permits and the page does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use libos::dax::Device;
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
            device.read_lock().unwrap().write(|_| poke(device, OFFSET, 0x66));
        }
        "without-a-grant" => {
            device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
            poke(device, OFFSET, 0x66);
        }
        "in-a-thread" => {
            device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
            let store = || device.read_lock().unwrap().write(|_| poke(device, OFFSET, 0x66));
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
            device.read_lock().unwrap().write(|_| function());
        }
        _ => panic!("no such way"),
    }
}

/// A thread on another CPU has stored to the page, so its CPU remembers that it may. Once the page is protected it must
/// not any more.
fn another_cpu(device: &'static Device) {
    let steps = Arc::new(AtomicU64::new(0));
    let seen = steps.clone();
    let writer = thread::Builder::new().name("writer".into());
    let writer = writer.spawn(move || {
        pin_to_last();
        device.read_lock().unwrap().write(|_| {
            let there = peek(device, OFFSET);
            poke(device, OFFSET, there);
            seen.store(1, Ordering::SeqCst);
            wait_for(&seen, 2);
            poke(device, OFFSET, 0x66);
        });
    });
    wait_for(&steps, 1);
    device.set_writable(PROTECTED..PROTECTED + PAGE, false).unwrap();
    steps.store(2, Ordering::SeqCst);
    writer.unwrap().join().unwrap();
}
