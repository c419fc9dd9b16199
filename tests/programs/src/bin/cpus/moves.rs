//! Threads that move from CPU to CPU, and what they take along.

use std::cell::Cell;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use libos::arch::{key_rights, percpu};
use libos::dax::{Access, Device, devices};
use libos::task::{self, ThreadId};

use crate::guest::{cpus, go_to, own_id, roam};
use crate::registers::{Registers, expect_control, set_control};

thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });

/// While all sleep, nobody looks every few milliseconds for what does not come.
pub(crate) fn idle() {
    let mut seen = Vec::new();
    // In the first second the library looks for the tick of the clock that tells the date.
    for _ in 0..8 {
        let before = task::statistics().switches;
        thread::sleep(Duration::from_millis(500));
        let switches = task::statistics().switches - before;
        // To the idle thread and back, and room for a thread of the library's that had something to finish.
        if switches <= 10 {
            return;
        }
        seen.push(switches);
    }
    panic!("switches in each half second of sleep: {seen:?}");
}

/// As many threads as there are CPUs run at the same time, each on its own, though nobody says where.
pub(crate) fn spread() {
    let seen = &AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..cpus() {
            scope.spawn(move || {
                while seen.load(Ordering::SeqCst).count_ones() < cpus() {
                    seen.fetch_or(1 << percpu::current_id(), Ordering::SeqCst);
                }
            });
        }
    });
}

/// Through every way of giving up a CPU, beside others that want it.
pub(crate) fn pinned() {
    assert!(!task::pin(own_id(), Some(cpus())), "there is no such CPU");
    let done = &AtomicU32::new(0);
    thread::scope(|scope| {
        for cpu in 0..cpus() {
            scope.spawn(move || {
                go_to(cpu);
                for round in 0..50 {
                    match round % 3 {
                        0 => thread::yield_now(),
                        1 => thread::sleep(Duration::from_micros(100)),
                        _ => drop((0..100_000).map(black_box).max()),
                    }
                    assert_eq!(percpu::current_id(), cpu);
                }
                roam();
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        while done.load(Ordering::SeqCst) < cpus() {
            thread::yield_now();
        }
    });
}

/// The three kinds of rights to a device, each on threads of its own.
const KINDS: [Access; 3] = [Access::Closed, Access::Read, Access::Write];

/// Runs `body` with these rights to the device.
fn with_access(device: &'static Device, access: Access, body: impl FnOnce()) {
    let lock = device.read_lock().expect("nobody retires the device");
    match access {
        Access::Closed => body(),
        Access::Read => lock.read(|_| body()),
        Access::Write => lock.write(|_| body()).unwrap(),
    }
}

/// Fails unless the running thread has exactly these rights.
fn expect_access(devices: &[&Device; 2], expected: [Access; 2]) {
    let rights = key_rights::current();
    let keys = devices.map(|device| device.key().expect("the test runs under protection"));
    assert_eq!(keys.map(|key| rights.access(key)), expected, "on CPU {}: {rights}", percpu::current_id());
    let mut others = (1..16).filter(|key| !keys.contains(key));
    assert!(others.all(|key| rights.access(key) == Access::Closed), "{rights}");
}

fn two_devices() -> [&'static Device; 2] {
    let [first, second, ..] = devices() else { panic!("the test gives this program two NVDIMMs") };
    [first, second]
}

/// A thread that moves by its own wish: what a switch keeps.
pub(crate) fn granted() {
    let devices = two_devices();
    thread::scope(|scope| {
        for seed in 0..9 {
            let expected = [KINDS[seed % 3], KINDS[seed / 3]];
            scope.spawn(move || {
                OWN.set(seed as u64);
                let values = Registers::of(seed as u64);
                with_access(devices[0], expected[0], || {
                    with_access(devices[1], expected[1], || {
                        set_control(&values);
                        for hop in 0..3 * cpus() {
                            go_to((seed as u32 + hop) % cpus());
                            expect_access(&devices, expected);
                            expect_control(&values);
                            assert_eq!(OWN.get(), seed as u64);
                            use_device(devices[0], expected[0]);
                            use_device(devices[1], expected[1]);
                        }
                        set_control(&Registers::of(0));
                    });
                });
                expect_access(&devices, [Access::Closed; 2]);
            });
        }
    });
}

/// Reads or writes the device as far as it is permitted; anything else would stop the machine.
fn use_device(device: &Device, access: Access) {
    let at = (device.address_range().start + 4096).as_mut_ptr::<u64>();
    if access != Access::Closed {
        // SAFETY: the caller is in a read grant at least; nobody has a reference into the device.
        let value = unsafe { at.read_volatile() };
        if access == Access::Write {
            // SAFETY: and here in a write grant.
            unsafe { at.write_volatile(value) };
        }
    }
}

/// A thread that others move.
struct Moved {
    id: AtomicU32,
    /// Every round is one move.
    round: AtomicU32,
    checked: AtomicU32,
}

/// Rounds in which every thread is moved once.
const ROUNDS: u32 = 6;

/// Threads that never give way are moved while they hold values in all registers: what a trap keeps.
pub(crate) fn preempted() {
    let devices = two_devices();
    let threads: &[Moved; 6] =
        &[const { Moved { id: AtomicU32::new(0), round: AtomicU32::new(0), checked: AtomicU32::new(0) } }; 6];
    thread::scope(|scope| {
        for (seed, moved) in threads.iter().enumerate() {
            scope.spawn(move || {
                let expected = [KINDS[seed % 3], KINDS[(seed + 1) % 3]];
                with_access(devices[0], expected[0], || {
                    with_access(devices[1], expected[1], || hold_and_check(seed as u64, moved, &devices, expected));
                });
            });
        }
        for round in 0..ROUNDS {
            for (number, moved) in threads.iter().enumerate() {
                let target = (round * 5 + number as u32 * 3 + round / cpus()) % cpus();
                let id = started(moved);
                assert!(task::pin(id, Some(target)));
                // It has to be caught there, in the middle of its loop.
                while task::cpu_of(id) != Some(target) {
                    thread::yield_now();
                }
            }
            for moved in threads {
                moved.round.store(round + 1, Ordering::SeqCst);
            }
            for moved in threads {
                while moved.checked.load(Ordering::SeqCst) <= round {
                    thread::yield_now();
                }
            }
        }
    });
}

/// The thread's identifier, once it runs.
fn started(moved: &Moved) -> ThreadId {
    loop {
        match ThreadId::new(moved.id.load(Ordering::SeqCst)) {
            Some(id) => return id,
            None => spin_loop(),
        }
    }
}

fn hold_and_check(seed: u64, moved: &Moved, devices: &[&'static Device; 2], expected: [Access; 2]) {
    OWN.set(seed);
    moved.id.store(task::current_id(), Ordering::SeqCst);
    for round in 0..ROUNDS {
        let values = Registers::of(seed * 1000 + u64::from(round));
        assert_eq!(values.hold(&moved.round, round), values, "on CPU {}", percpu::current_id());
        expect_access(devices, expected);
        assert_eq!(OWN.get(), seed);
        use_device(devices[0], expected[0]);
        use_device(devices[1], expected[1]);
        moved.checked.store(round + 1, Ordering::SeqCst);
    }
}
