//! `cargo xtask guest-test` and the runner behind it, as a person uses them.

use std::process::{Command, Output};

use holdfast_tests::xtask::xtask;
use xtask::guest;

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output, String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn tests_of_a_package_run_in_the_guest_with_panics_that_unwind() {
    let guest_test =
        |arguments: &[&str]| run(xtask().args(["guest-test", "--package", "libos-unwind", "--"]).args(arguments));
    let (output, printed) = guest_test(&[]);
    // Of a library cargo would have rustdoc compile the doc tests too, without the guest's flags.
    let left_out = "doc tests are left out; they run on the host: cargo test --doc --package libos-unwind\n";
    assert!(printed.contains(left_out) && !printed.contains("Doc-tests"), "{printed}");
    assert!(printed.contains("test result: ok. 3 passed; 0 failed; 1 ignored"), "{printed}");
    assert!(printed.contains("\nholdfast: "), "not in the guest:\n{printed}");
    assert!(output.status.success(), "{printed}");
    let (output, printed) = guest_test(&["--ignored"]);
    assert!(printed.contains("test result: FAILED. 0 passed; 1 failed"), "{printed}");
    assert!(printed.contains("nobody expects this"), "{printed}");
    assert!(!output.status.success(), "{printed}");
}

/// They use the simulated persistence domain, there as on the host.
#[test]
fn tests_of_a_program_with_persistent_memory_run_in_the_guest() {
    let (output, printed) = run(xtask().args(["guest-test", "--package", "ledger"]));
    assert!(printed.contains("acknowledged_entries_survive_a_power_cut_anywhere ... ok"), "{printed}");
    assert!(printed.contains("test result: ok."), "{printed}");
    assert!(printed.contains("\nholdfast: "), "not in the guest:\n{printed}");
    assert!(output.status.success(), "{printed}");
}

#[test]
fn the_runner_passes_arguments_on_and_the_status_back() {
    let boot = |program: &str, arguments: &[&str]| {
        let mut command = xtask();
        command.args(["boot", "--no-net", "--memory", "64M", "--smp", "1"]).arg(guest::image(program).unwrap());
        run(command.args(arguments))
    };
    let (output, printed) = boot("std_suite", &["timing"]);
    assert!(printed.contains("timing: ") && printed.contains(" checks are ok"), "{printed}");
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let (output, printed) = boot("std_suite", &["no such group"]);
    assert!(printed.contains("there is no such group"), "{printed}");
    // The backtrace has names.
    assert!(printed.contains("std_suite::main"), "{printed}");
    assert_eq!(output.status.code(), Some(101), "{printed}");
}
