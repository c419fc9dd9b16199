//! How much the library says on the console is a choice of whoever boots it.

use holdfast_tests::machine::{Outcome, machine, run};
use xtask::qemu::{LogLevel, MachineOptions, Network};
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
    for step in ["RAM 0x", "ACPI: ", "PCI: 00:", "VIRTIO: queue 0 ", "thread 1 "] {
        assert!(debug.count(&format!("holdfast: debug: {step}")) > 0, "{step}\n{debug}");
    }
    assert_eq!(lines(&debug).1, 1, "{debug}");
    let info = boot(LogLevel::Info);
    assert_eq!(lines(&info), (0, 1), "{info}");
    let warn = boot(LogLevel::Warn);
    assert_eq!(lines(&warn), (0, 0), "{warn}");
}
