//! What unmodified std programs expect of the machine below them, from inside.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_tests::machine::{CPUS, Outcome, PATIENCE, machine, outcome, run};
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::size::MIB;

fn options(group: &str) -> MachineOptions {
    MachineOptions { memory: 256 * MIB, ..machine("std_suite", &[group]) }
}

/// Runs a group of checks, of which there have to be `checks`, on every number of CPUs.
fn suite(group: &str, checks: usize) {
    for processors in CPUS {
        let outcome = run(MachineOptions { smp: processors, ..options(group) });
        expect_checks(&outcome, group, checks);
    }
}

fn expect_checks(outcome: &Outcome, group: &str, checks: usize) {
    outcome.expect_exit(0).expect_line(&format!("{group}: {checks} checks are ok"));
    assert_eq!(outcome.count("ok "), checks, "{outcome}");
}

#[test]
fn printing_arguments_and_the_environment() {
    let mut options = options("basics");
    options.environment.push(("HOLDFAST_GIVEN".into(), "a value".into()));
    let outcome = run(options);
    expect_checks(&outcome, "basics", 6);
    outcome.expect_line("to the standard output").expect_line("to the standard error");
    outcome.expect_line("written in parts").expect_line("without a newline, then flushed");
    outcome.expect_line(&"long ".repeat(1000)).expect_line("the environment has a value");
}

#[test]
fn two_boots_do_not_hash_alike() {
    let hashed = || run(options("basics")).after("hashed: ").to_owned();
    assert_ne!(hashed(), hashed());
}

#[test]
fn threads() {
    suite("threads", 14);
}

#[test]
fn channels_and_locks() {
    suite("sync", 13);
}

#[test]
fn clocks_and_sleeping() {
    let options = options("timing");
    let image = options.image.clone();
    let before = unix_time();
    let machine = Machine::start(options, None).unwrap();
    let when = |wanted: &str| {
        let found = machine.console().wait_for_line(PATIENCE, |line| (line == wanted).then(Instant::now));
        found.unwrap_or_else(|| panic!("no `{wanted}`: {:?}", machine.console().lines()))
    };
    let (lies_down, wakes) = (when("going to sleep"), when("slept two seconds"));
    // A host that is busy reads the first line late, but never a second late.
    assert!(wakes - lies_down >= Duration::from_secs(1), "two seconds took {:?}", wakes - lies_down);
    let outcome = outcome(&machine, &image);
    expect_checks(&outcome, "timing", 7);
    let told: u64 = outcome.after("unix time: ").parse().unwrap();
    // The clock of a PC counts whole seconds.
    assert!((before - 2..=unix_time() + 2).contains(&told), "{told} is not after {before} and before now");
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn the_heap() {
    suite("memory", 9);
}

#[test]
fn tcp_inside_the_machine() {
    suite("streams", 26);
}

#[test]
fn udp_inside_the_machine() {
    suite("datagrams", 8);
}

#[test]
fn mio_inside_the_machine() {
    suite("events", 8);
}

#[test]
fn sockets_inside_a_machine_with_a_network_card() {
    for (group, checks) in [("streams", 26), ("events", 8)] {
        let outcome = run(MachineOptions { network: Network::User, ..options(group) });
        expect_checks(&outcome, group, checks);
    }
}
