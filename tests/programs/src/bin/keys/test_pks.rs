//! The cases of Linux's `tools/testing/selftests/x86/test_pks.c`, by the names that its command line takes. That
//! program asks the kernel's test for its digits, but for the context switch, which it arranges itself with two
//! processes on one CPU.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::pks_test;
use super::probe::{AD, OPEN, device, only, register_is, set_bits};
use super::verdict::{Case, Verdict};

pub(crate) const CASES: &[Case] = &[
    ("check_defaults", pks_test::check_defaults),
    ("single", || pks_test::single(device(0))),
    ("context_switch", context_switch),
    ("exception", || pks_test::exception().map(drop)),
    ("exception_update", pks_test::exception_update),
    ("run_all", pks_test::all_keys),
    ("create_fault", pks_test::crash),
];

/// The child runs the single test, arms, tells the parent to go, and waits; the parent runs the single test with the
/// same key and tells the child, which then looks at its register.
fn context_switch() -> Verdict {
    let (setup_done, wait_setup) = channel();
    let (switch_done, wait_switch) = channel();
    let child = thread::spawn(move || child(&setup_done, &wait_switch));
    let told = wait_setup.recv();
    // A child that failed before it got so far has told nobody.
    let own = told.map_err(|error| error.to_string()).and_then(|()| pks_test::single(device(0)));
    let _ = switch_done.send(());
    child.join().expect("a case does not panic").and(own)
}

fn child(setup_done: &Sender<()>, wait_switch: &Receiver<()>) -> Verdict {
    pks_test::single(device(0))?;
    set_bits(device(0), OPEN);
    setup_done.send(()).map_err(|error| error.to_string())?;
    wait_switch.recv().map_err(|error| error.to_string())?;
    let armed = register_is("of the child after the switch", only(device(0), OPEN));
    set_bits(device(0), AD);
    armed
}
