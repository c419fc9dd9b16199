//! What panics mean where they unwind. `cargo xtask guest-test` runs these in the guest, and
//! `tests/tests/guest_test.rs` looks at that from outside; on the host they hold anyway.
#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

#[cfg(target_os = "hermit")]
use libos as _;

#[test]
#[should_panic(expected = "three is not two")]
fn a_panic_that_is_expected() {
    assert_eq!(3, "ab".len(), "three is not two");
}

#[test]
fn a_panic_that_is_caught() {
    let caught = panic::catch_unwind(|| panic!("{}", 7)).unwrap_err();
    assert_eq!(caught.downcast_ref::<String>().map(String::as_str), Some("7"));
}

#[test]
fn a_thread_that_panics_drops_what_it_has_and_poisons_its_lock() {
    let lock = Mutex::new(1);
    let joined = thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let mut value = lock.lock().unwrap();
            *value = 2;
            panic!("with the lock");
        });
        panicking.join()
    });
    assert!(joined.is_err() && lock.is_poisoned());
    assert_eq!(*lock.lock().unwrap_or_else(PoisonError::into_inner), 2);
}

#[test]
#[ignore = "fails, to be seen"]
fn a_panic_that_nobody_expects() {
    panic!("nobody expects this");
}
