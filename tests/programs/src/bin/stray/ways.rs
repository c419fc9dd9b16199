//! Ways of going astray that are no cell of the matrix.

use std::hint::black_box;
use std::ptr;
use std::thread;

use libos::dax::devices;
use strays::instructions::{MARK, store64};

use crate::shapes::{self, target};

pub(crate) fn go(way: &str) {
    match way {
        "again" => again(),
        "granted-stack" => granted_stack(),
        "overrun" => overrun(),
        "wild-pointer" => wild_pointer(),
        _ => panic!("no such way"),
    }
}

/// At one place in the code, three times, the second time by another thread.
fn again() {
    store64(target());
    thread::spawn(|| store64(target())).join().unwrap();
    store64(target());
}

/// By an interrupt's handler, on the stack of a thread that may write to persistent memory and has its stack there.
fn granted_stack() {
    shapes::choose("interrupted", "0,0");
    devices()[0].read_lock().unwrap().write(|_| shapes::act()).unwrap();
}

/// By a copy into one device, for which there is a write grant, that runs past its end into the next device.
fn overrun() {
    let [first, second, ..] = devices() else { panic!("the test gives this program two NVDIMMs") };
    assert_eq!(first.address_range().end, second.address_range().start, "the devices are neighbours");
    let source = [MARK; 1024];
    first
        .read_lock()
        .unwrap()
        .write(|_| {
            let to = (first.address_range().end - size_of_val(&source) as u64 / 2).as_mut_ptr::<u64>();
            // SAFETY: none for the second half, which is the mistake; the first half is inside the grant.
            unsafe { ptr::copy(source.as_ptr(), to, source.len()) };
        })
        .unwrap();
}

/// Through a pointer into the heap with two bits flipped.
fn wild_pointer() {
    let heap = Box::leak(Box::new(0u64));
    let flipped = ptr::from_mut(heap).map_addr(|address| address ^ 1 << 44 ^ 1 << 32);
    println!("stray: {heap:p} became {flipped:p}");
    store64(flipped.addr());
    black_box(());
}
