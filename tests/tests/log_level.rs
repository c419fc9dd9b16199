//! How much the library says on the console is a choice of whoever boots it.

use holdfast_tests::machine::{Outcome, machine, run};
use xtask::qemu::{GuestTime, LogLevel, MachineOptions, Network};
use xtask::size::MIB;

fn boot(log: LogLevel) -> Outcome {
    let outcome =
        run(MachineOptions { log, memory: 128 * MIB, network: Network::User, ..machine("crash", &["return"]) });
    outcome.expect_exit(0);
    outcome
}

/// The number of lines of `debug`, and of one of `info`.
fn lines(outcome: &Outcome) -> (usize, usize) {
    (
        outcome.count("holdfast: debug: "),
        outcome.count("holdfast: 4-level paging") + outcome.count("holdfast: 5-level paging"),
    )
}

#[test]
fn debug_says_each_step_and_warn_only_what_is_wrong() {
    let debug = boot(LogLevel::Debug);
    for step in ["RAM 0x", "ACPI: ", "PCI: 00:", "VIRTIO: queue 0 ", "thread 1 ", "the time-stamp counter: "] {
        assert!(debug.count(&format!("holdfast: debug: {step}")) > 0, "{step}\n{debug}");
    }
    assert_eq!(lines(&debug).1, 1, "{debug}");
    let info = boot(LogLevel::Info);
    assert_eq!(lines(&info), (0, 1), "{info}");
    let warn = boot(LogLevel::Warn);
    assert_eq!(lines(&warn), (0, 0), "{warn}");
}

/// Where QEMU has each instruction take two nanoseconds, the counter counts nanoseconds.
#[test]
fn the_frequency_of_the_time_counter_is_found_as_exactly_as_is_said() {
    let options = MachineOptions { log: LogLevel::Debug, time: GuestTime::Steady, ..machine("crash", &["return"]) };
    let outcome = run(options);
    let said = outcome.expect_exit(0).after("holdfast: debug: the time-stamp counter: ");
    let (megahertz, rest) = said.split_once(" MHz, within ").unwrap_or_else(|| panic!("{said}"));
    let (kilohertz, by) = rest.split_once(" kHz ").unwrap_or_else(|| panic!("{said}"));
    let (found, unsure): (f64, f64) = (megahertz.parse().unwrap(), kilohertz.parse().unwrap());
    assert_eq!(by, "by the interval timer");
    // A part in ten thousand at most; and the last digit may be rounded.
    assert!(unsure <= 100.0 && (found - 1000.0).abs() * 1000.0 <= unsure + 1.0, "{said}");
}
