//! Grants as scopes: nested in every order and over several devices, and ended in every way.

use std::hint::black_box;

use libos::arch::key_rights;
use libos::dax::{Device, Load, Rights, Store};

use crate::probe::{AD, OPEN, PLACE, WD, device, is_one_fault, load, only, register_is, store, watch, with_bits};
use crate::verdict::{Case, Verdict, same};

pub(crate) const CASES: &[Case] = &[
    ("read_grant_reads_and_does_not_write", read_grant),
    ("write_grant_reads_and_writes", write_grant),
    ("read_in_write", read_in_write),
    ("write_in_read", write_in_read),
    ("same_grant_twice", same_grant_twice),
    ("two_devices", two_devices),
    ("four_devices_in_every_order", four_devices),
    ("early_return", early_return),
    ("panic_in_a_grant", panic_in_a_grant),
    ("use_after_the_grant", use_after_the_grant),
];

fn read_grant() -> Verdict {
    let device = device(0);
    device.read_lock().map_err(|error| error.to_string())?.read(|_| {
        register_is("in a read grant", only(device, WD))?;
        let faults = watch(|| {
            black_box(load(device, PLACE));
        });
        same("the faults of a load", faults, vec![])?;
        is_one_fault(&watch(|| store(device, PLACE, 1)), device, PLACE, true, only(device, WD))?;
        register_is("in a read grant whose fault was let through", only(device, WD))
    })?;
    register_is("after a read grant", Rights::CLOSED)
}

fn write_grant() -> Verdict {
    let device = device(0);
    device
        .read_lock()
        .map_err(|error| error.to_string())?
        .write(|_| {
            register_is("in a write grant", only(device, OPEN))?;
            let faults = watch(|| {
                store(device, PLACE, 77);
                black_box(load(device, PLACE));
            });
            same("the faults of a store and a load", faults, vec![])
        })
        .unwrap()?;
    register_is("after a write grant", Rights::CLOSED)
}

fn read_in_write() -> Verdict {
    let device = device(0);
    let lock = device.read_lock().map_err(|error| error.to_string())?;
    lock.write(|_| {
        lock.read(|_| {
            register_is("in a read grant inside a write grant", only(device, WD))?;
            is_one_fault(&watch(|| store(device, PLACE, 1)), device, PLACE, true, only(device, WD))
        })?;
        register_is("back in the write grant", only(device, OPEN))?;
        same("the faults of a store", watch(|| store(device, PLACE, 2)), vec![])
    })
    .unwrap()?;
    register_is("after both", Rights::CLOSED)
}

fn write_in_read() -> Verdict {
    let device = device(0);
    let lock = device.read_lock().map_err(|error| error.to_string())?;
    lock.read(|_| {
        lock.write(|_| {
            register_is("in a write grant inside a read grant", only(device, OPEN))?;
            same("the faults of a store", watch(|| store(device, PLACE, 2)), vec![])
        })
        .unwrap()?;
        register_is("back in the read grant", only(device, WD))?;
        is_one_fault(&watch(|| store(device, PLACE, 1)), device, PLACE, true, only(device, WD))
    })?;
    register_is("after both", Rights::CLOSED)
}

/// The end of the inner one must not close what the outer one still needs.
fn same_grant_twice() -> Verdict {
    let device = device(0);
    let lock = device.read_lock().map_err(|error| error.to_string())?;
    lock.write(|_| {
        lock.write(|_| register_is("in the inner one", only(device, OPEN))).unwrap()?;
        register_is("after the inner one", only(device, OPEN))?;
        same("the faults of a store", watch(|| store(device, PLACE, 2)), vec![])
    })
    .unwrap()
}

fn two_devices() -> Verdict {
    let (first, second) = (device(0), device(1));
    let [first_lock, second_lock] = [first.read_lock(), second.read_lock()];
    let (Ok(first_lock), Ok(second_lock)) = (first_lock, second_lock) else { return Err("a device is gone".into()) };
    first_lock
        .write(|_| {
            is_one_fault(&watch(|| store(second, PLACE, 1)), second, PLACE, true, only(first, OPEN))?;
            second_lock.read(|_| {
                register_is("in both", with_bits(only(first, OPEN), second, WD))?;
                let faults = watch(|| {
                    store(first, PLACE, 2);
                    black_box(load(second, PLACE));
                });
                same("the faults of what both permit", faults, vec![])
            })?;
            register_is("after the inner one", only(first, OPEN))
        })
        .unwrap()?;
    second_lock.write(|_| register_is("in the other one alone", only(second, OPEN))).unwrap()?;
    register_is("after all", Rights::CLOSED)
}

/// Every order of opening four devices: each scope adds its own right, and its end takes away just that.
fn four_devices() -> Verdict {
    fn descend(held: Rights, left: &[&'static Device]) -> Verdict {
        register_is("before a scope", held)?;
        for (place, device) in left.iter().enumerate() {
            let mut others = left.to_vec();
            others.remove(place);
            let lock = device.read_lock().map_err(|error| error.to_string())?;
            let (bits, scope) = if place % 2 == 0 { (OPEN, true) } else { (WD, false) };
            let inside = with_bits(held, device, bits);
            if scope {
                lock.write(|_| descend(inside, &others)).unwrap()?
            } else {
                lock.read(|_| descend(inside, &others))?
            }
            register_is("after a scope", held)?;
        }
        Ok(())
    }
    descend(Rights::CLOSED, &[device(0), device(1), device(7), device(14)])
}

fn early_return() -> Verdict {
    fn fails() -> Result<(), String> {
        let lock = device(0).read_lock().map_err(|error| error.to_string())?;
        lock.write(|grant| {
            grant.store(PLACE, &[1]).map_err(|error| error.to_string())?;
            lock.read(|grant| grant.load(u64::MAX, &mut [0])).map_err(|error| error.to_string())?;
            unreachable!("no device is so long")
        })
        .unwrap()
    }
    same("whether it failed", fails().is_err(), true)?;
    register_is("after the early return", Rights::CLOSED)?;
    is_one_fault(&watch(|| store(device(0), PLACE, 1)), device(0), PLACE, true, only(device(0), AD))
}

/// A panic does not unwind here: the program ends, with the status of a panic, and nobody stores any more.
fn panic_in_a_grant() -> Verdict {
    let lock = device(0).read_lock().map_err(|error| error.to_string())?;
    lock.write(|grant| {
        grant.store(PLACE, b"RAYSTRAW").map_err(|error| error.to_string())?;
        panic!("rights {}", key_rights::current())
    })
    .unwrap()
}

fn use_after_the_grant() -> Verdict {
    let device = device(0);
    let lock = device.read_lock().map_err(|error| error.to_string())?;
    let kept = lock.write(|_| device.address_range().start + PLACE).unwrap();
    is_one_fault(&watch(|| crate::probe::store_byte(kept, 9)), device, PLACE, true, Rights::CLOSED)
}
