//! The contexts of a process from which an access to a device can come, and what keys let through from each.

use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Barrier;
use std::{ptr, thread};

use libc::{c_int, c_void, pthread_t};
use pmem_linux::Device;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::attempt::attempt;

/// What keys let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    Nothing,
    Loads,
    LoadsAndStores,
}

use Open::{Loads, LoadsAndStores, Nothing};

/// A context: its name, what keys let through from it to the first device, and how the attempt is made from it; the
/// second is another device.
pub type Context = (&'static str, Open, fn(&Device, &Device));

/// All of them.
#[rustfmt::skip]
pub const CONTEXTS: [Context; 24] = [
    ("no grant",                                      Nothing,        |_, _| attempt()),
    ("a read grant",                                  Loads,          |d, _| read(d, attempt)),
    ("a write grant",                                 LoadsAndStores, |d, _| write(d, attempt)),
    ("a read grant of another device",                Nothing,        |_, other| read(other, attempt)),
    ("a write grant of another device",               Nothing,        |_, other| write(other, attempt)),
    ("a write grant of another device in a read one", Loads,          |d, other| read(d, || write(other, attempt))),
    ("after a read grant",                            Nothing,        |d, _| { read(d, || {}); attempt() }),
    ("after a write grant",                           Nothing,        |d, _| { write(d, || {}); attempt() }),
    ("after a write grant that panicked",             Nothing,        |d, _| { write_and_panic(d); attempt() }),
    ("a read grant in a write grant",                 Loads,          |d, _| write(d, || read(d, attempt))),
    ("after a read grant in a write grant",           LoadsAndStores, |d, _| write(d, || { read(d, || {}); attempt() })),
    ("a write grant in a read grant",                 LoadsAndStores, |d, _| read(d, || write(d, attempt))),
    ("after a write grant in a read grant",           Loads,          |d, _| read(d, || { write(d, || {}); attempt() })),
    ("after a panic in a write grant in a read one",  Loads,          |d, _| read(d, || { write_and_panic(d); attempt() })),
    ("a thread beside one with a write grant",        Nothing,        |d, _| beside(|open| write(d, open))),
    ("std's thread, started in a write grant",        Nothing,        |d, _| write(d, || on_thread(attempt))),
    ("pthread_create's thread, in a write grant",     Nothing,        |d, _| write(d, on_posix_thread)),
    ("thrd_create's thread, in a write grant",        Nothing,        |d, _| write(d, on_c11_thread)),
    ("a thread's own grant, in another's",            Loads,          |d, _| write(d, || on_thread(|| read(d, attempt)))),
    ("after a thread was started in a write grant",   LoadsAndStores, |d, _| write(d, || { on_thread(|| {}); attempt() })),
    ("a signal handler in a write grant",             Nothing,        |d, _| write(d, || on_signal(attempt_in_handler))),
    ("after a signal handler in a write grant",       LoadsAndStores, |d, _| write(d, || { on_signal(nothing); attempt() })),
    ("on each CPU, in a read grant",                  Loads,          |d, _| read(d, || on_each_cpu(attempt))),
    ("on each CPU, in a write grant",                 LoadsAndStores, |d, _| write(d, || on_each_cpu(attempt))),
];

fn read(device: &Device, f: impl FnOnce()) {
    device.read_lock().unwrap().read(|_| f());
}

fn write(device: &Device, f: impl FnOnce()) {
    device.read_lock().unwrap().write(|_| f()).unwrap();
}

fn write_and_panic(device: &Device) {
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| write(device, || panic!("on purpose"))));
    assert!(panicked.is_err());
}

/// Attempts on a thread that was there before `open` opens a device to this one.
fn beside(open: impl FnOnce(&dyn Fn())) {
    let (opened, attempted) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            opened.wait();
            attempt();
            attempted.wait();
        });
        open(&|| {
            opened.wait();
            attempted.wait();
        });
    });
}

fn on_thread(f: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(f).join()).unwrap();
}

/// Attempts on a thread that the C library starts.
fn on_posix_thread() {
    extern "C" fn start(_: *mut c_void) -> *mut c_void {
        attempt();
        ptr::null_mut()
    }
    let mut thread = MaybeUninit::<pthread_t>::uninit();
    // SAFETY: a thread with no attributes, whose function uses no argument.
    assert_eq!(unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), start, ptr::null_mut()) }, 0);
    // SAFETY: the thread was made above, and nobody else joins it.
    assert_eq!(unsafe { libc::pthread_join(thread.assume_init(), ptr::null_mut()) }, 0);
}

/// Attempts on a thread that is started as C11 has it.
fn on_c11_thread() {
    unsafe extern "C" {
        fn thrd_create(thread: *mut pthread_t, start: extern "C" fn(*mut c_void) -> c_int, of: *mut c_void) -> c_int;
        fn thrd_join(thread: pthread_t, result: *mut c_int) -> c_int;
    }
    extern "C" fn start(_: *mut c_void) -> c_int {
        attempt();
        0
    }
    let mut thread = MaybeUninit::<pthread_t>::uninit();
    // SAFETY: a thread whose function uses no argument.
    assert_eq!(unsafe { thrd_create(thread.as_mut_ptr(), start, ptr::null_mut()) }, 0);
    // SAFETY: the thread was made above, and nobody else joins it.
    assert_eq!(unsafe { thrd_join(thread.assume_init(), ptr::null_mut()) }, 0);
}

extern "C" fn attempt_in_handler(_: c_int) {
    attempt();
}

extern "C" fn nothing(_: c_int) {}

/// Has this thread interrupted by a signal.
fn on_signal(handler: extern "C" fn(c_int)) {
    // SAFETY: the handlers call nothing that may not be called in one.
    assert_ne!(unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) }, libc::SIG_ERR);
    // SAFETY: the signal has a handler, which has returned when this does (raise(3)).
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
}

/// Runs `f` after this thread has moved to each of the CPUs that it may run on, the first one again at the end.
fn on_each_cpu(f: fn()) {
    let allowed = sched_getaffinity(None).unwrap();
    let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    for &cpu in cpus.iter().chain(&cpus[..1]) {
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).unwrap();
        f();
    }
}
