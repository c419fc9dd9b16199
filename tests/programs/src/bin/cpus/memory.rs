//! What one CPU unmaps or write-protects, no other one uses any more, even if it rested meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread::{self, Builder};
use std::time::Duration;

use libos::dax::{Device, Medium, devices};
use libos::task::ended_count;
use libos::task::statistics;

use crate::guest::{cpus, go_to, roam};

/// Stacks of two sizes, so that a thread of one size never gets a stack that one of the other size has left behind.
const SMALL: usize = 128 << 10;
const LARGE: usize = 256 << 10;

/// Threads on one CPU leave stacks behind; the boot CPU unmaps them while that CPU rests, and maps other memory in
/// their place. A thread that starts there and then moves to the rested CPU has to find its own memory.
pub(crate) fn unmapped() {
    go_to(0);
    for cpu in 1..cpus() {
        for (first, second) in [(SMALL, LARGE), (LARGE, SMALL)] {
            // Fewer than are kept unused, so that nothing is unmapped yet.
            at_once(8, first, cpu, cpu);
            // More than are kept: the boot CPU unmaps the surplus, those of before among it.
            at_once(64, second, 0, 0);
            at_once(64, second, 0, cpu);
        }
    }
    roam();
}

/// Runs this many threads, all alive at the same time, that start on one CPU and end on another.
fn at_once(count: usize, stack: usize, start: u32, end: u32) {
    let barrier = Arc::new(Barrier::new(count));
    let spawn = |number| {
        let barrier = barrier.clone();
        let run = move || {
            go_to(start);
            let mine = black_box([number as u64; 512]);
            barrier.wait();
            go_to(end);
            assert!(black_box(&mine).iter().all(|&word| word == number as u64), "a stack changed on its way");
        };
        Builder::new().stack_size(stack).spawn(run).expect("memory for a thread")
    };
    let threads: Vec<_> = (0..count).map(spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// The page that is write-protected, and what a store that should not be leaves there.
const PAGE: u64 = 0x12_3000;
const MARK: u64 = 0x5741_5254_5359_4152;
/// How often each CPU is tried.
const ROUNDS: u64 = 5;
/// How often a CPU is waited for that does not rest.
const PATIENCE: usize = 2000;

/// What a thread on the CPU that is tried is told to do.
enum Order {
    /// To store what is there, so that its CPU remembers that it may.
    Use,
    /// To store where it must not.
    Stray,
}

/// A thread on a CPU stores to a page, and so its CPU remembers that the page can be written. While that CPU rests, the
/// boot CPU write-protects the page, without an interrupt, and wakes the thread, which then must not get through.
///
/// Nothing may stand between the wake and the store that makes the emulator forget everything anyway, as a write of the
/// key register does. So this runs without keys, and under the policy that ends threads which go astray.
pub(crate) fn protected() {
    let device = devices().first().expect("the test gives this program an NVDIMM");
    go_to(0);
    for cpu in 1..cpus() {
        for round in 1..=ROUNDS {
            try_store(device, cpu);
            let tried = u64::from(cpu - 1) * ROUNDS + round;
            assert_eq!(ended_count(), tried, "threads that were stopped, on cpu {cpu} in round {round}");
        }
    }
    roam();
}

/// Makes one attempt on this CPU, and waits for what becomes of it.
fn try_store(device: &'static Device, cpu: u32) {
    static STORED: AtomicBool = AtomicBool::new(false);
    let (ordered, orders) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let ended = ended_count();
    // The thread is ended from outside, so that nobody can join it.
    drop(thread::spawn(move || {
        go_to(cpu);
        obey(device, &orders, &done);
        STORED.store(true, Ordering::SeqCst);
    }));
    for _ in 0..PATIENCE {
        device.set_writable(PAGE..PAGE + 4096, true).expect("a page of a device that is there");
        ordered.send(Order::Use).expect("the thread waits");
        is_done.recv().expect("the thread has stored");
        thread::sleep(Duration::from_millis(1));
        let before = statistics();
        device.set_writable(PAGE..PAGE + 4096, false).expect("a page of a device that is there");
        let after = statistics();
        if after.shootdown_interrupts == before.shootdown_interrupts {
            let notes = after.shootdowns_deferred - before.shootdowns_deferred;
            assert_eq!(notes, u64::from(cpus() - 1), "notes for cpus that rest");
            ordered.send(Order::Stray).expect("the thread waits");
            while ended_count() == ended && !STORED.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(!STORED.load(Ordering::SeqCst), "cpu {cpu} has used what it remembered");
            return;
        }
    }
    panic!("cpu {cpu} does not rest");
}

/// Stores as it is told; returns when it has stored where it must not.
fn obey(device: &Device, orders: &Receiver<Order>, done: &Sender<()>) {
    let at = (device.address_range().start + PAGE).as_mut_ptr::<u64>();
    loop {
        match orders.recv().expect("the boot CPU gives orders") {
            Order::Use => {
                // SAFETY: nobody has a reference into the device, and the store leaves it as it is.
                unsafe { at.write_volatile(at.read_volatile()) };
                done.send(()).expect("the boot CPU waits");
            }
            Order::Stray => {
                // SAFETY: none; the page's permissions have to stop it.
                unsafe { at.write_volatile(MARK) };
                return;
            }
        }
    }
}
