//! Where keys end, and what they cost: of a whole process, so each of these tests has one of its own.

use std::{iter, thread};

use libos_contract::protection::{Protection, ProtectionChoice};
use pmem_linux::{Device, NoKey, OpenError, OpenOptions, RegisterWrites, register_writes};

use crate::child;
use crate::devices;

/// Has a process of its own run a test, where there are keys.
fn alone(test: &str) {
    if devices::keys_are_here() {
        assert_eq!(child::run(test, &[]), Ok(()));
    }
}

#[test]
fn a_device_without_a_key_is_refused_where_all_are_taken() {
    alone("limits::takes_all_keys");
}

#[test]
#[ignore = "takes all keys of a process, so it is run in one of its own"]
fn takes_all_keys() {
    let taken = || devices::open(devices::file(), Protection::Pku).ok();
    let mut held: Vec<Device> = iter::from_fn(taken).collect();
    assert_eq!(held.len(), 15);
    let file = devices::file();
    for choice in [ProtectionChoice::Auto, ProtectionChoice::Only(Protection::Pku)] {
        let error = OpenOptions::new().protection(choice).open(&file).unwrap_err();
        assert!(matches!(error, OpenError::NoKey(_, NoKey::AllTaken)), "{choice}: {error}");
        let message = error.to_string();
        assert!(message.contains("all protection keys of this process are in use"), "{message}");
        assert!(message.ends_with("; protection `none` is to run without"), "{message}");
    }
    assert_eq!(devices::open(&file, Protection::None).unwrap().protection(), "none");
    // A device that is closed gives its key back.
    held.pop();
    assert_eq!(Device::open(&file).unwrap().protection(), "pku");
    child::end();
}

#[test]
fn supervisor_keys_are_refused_everywhere() {
    let error = devices::open(devices::file(), Protection::Pks).unwrap_err();
    assert!(matches!(error, OpenError::NoKey(_, NoKey::Supervisor)), "{error}");
}

#[test]
fn each_grant_writes_the_register_twice_and_never_for_nothing() {
    alone("limits::counts_writes");
}

#[test]
#[ignore = "counts the writes of a process, so it is run in one of its own"]
fn counts_writes() {
    let (files, bare_file) = ([devices::file(), devices::file()], devices::file());
    let [device, other] = files.each_ref().map(|file| devices::open(file, Protection::Pku).unwrap());
    let bare = devices::open(&bare_file, Protection::None).unwrap();
    let read = |device: &Device, f: &dyn Fn()| device.read_lock().unwrap().read(|_| f());
    let write = |device: &Device, f: &dyn Fn()| device.read_lock().unwrap().write(|_| f()).unwrap();
    let thread = || thread::spawn(|| {}).join().unwrap();
    // What is done, the writes of it, and those that it has no need of.
    #[rustfmt::skip]
    let rows: [(&str, &dyn Fn(), u64, u64); 10] = [
        ("nothing",                                &|| {},                                                    0, 0),
        ("a read grant",                           &|| read(&device, &|| {}),                                 2, 0),
        ("a write grant",                          &|| write(&device, &|| {}),                                2, 0),
        ("a read grant in one",                    &|| read(&device, &|| read(&device, &|| {})),              2, 2),
        ("a write grant in a read grant",          &|| read(&device, &|| write(&device, &|| {})),             4, 0),
        ("a read grant in a write grant",          &|| write(&device, &|| read(&device, &|| {})),             4, 0),
        ("a write grant in one of another device", &|| write(&other, &|| write(&device, &|| {})),             4, 0),
        ("grants of a device that has no key",     &|| write(&bare, &|| read(&bare, &|| {})),                 0, 0),
        ("a thread, with all closed",              &thread,                                                   0, 2),
        ("a thread, in a write grant",             &|| write(&device, &thread),                               4, 0),
    ];
    for (what, done, written, skipped) in rows {
        let before = register_writes();
        done();
        let after = register_writes();
        let writes =
            RegisterWrites { written: after.written - before.written, skipped: after.skipped - before.skipped };
        assert_eq!(writes, RegisterWrites { written, skipped }, "{what}");
    }
    child::end();
}
