//! What a program asks for without end is an error in the end, and the machine goes on.

use std::net::TcpStream;

use holdfast_tests::machine::{PATIENCE, machine, outcome, run};
use xtask::qemu::{Machine, MachineOptions, Network};

#[test]
fn everything_that_a_program_can_ask_for_ends_with_an_error_also_in_a_full_heap() {
    for processors in [1, 2] {
        let mut options = machine("exhaust", &[]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line("exhaust: the machine is still there");
        assert_eq!(outcome.count("ok "), 3 * 10, "{outcome}");
    }
}

#[test]
fn a_client_for_whose_connection_there_is_no_memory_is_refused_and_not_left_to_wait() {
    let options = MachineOptions { network: Network::User, ..machine("exhaust", &["refuse"]) };
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    let is_ready = |line: &str| (line == "exhaust: ready on port 80").then_some(());
    assert_eq!(machine.console().wait_for_line(PATIENCE, is_ready), Some(()), "{:?}", machine.console().lines());
    let forwarder = machine.forward_any(80).unwrap();
    // The first ones have what little memory is left.
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(forwarder.address())).collect();
    outcome(&machine, &image).expect_exit(0).expect_line("ok refused");
    drop(clients);
}
