//! The network as programs see it.

use holdfast_tests::machine::{CPUS, Outcome, machine, run};
use xtask::qemu::{MachineOptions, Network};
use xtask::size::MIB;

fn sockets(smp: u32, network: Network, kernel_options: &[&str]) -> Outcome {
    let kernel_options = kernel_options.iter().map(|&option| option.to_owned()).collect();
    let outcome = run(MachineOptions { smp, network, kernel_options, memory: 128 * MIB, ..machine("sockets", &[]) });
    outcome.expect_exit(0).expect_line("sockets: ok");
    outcome
}

#[test]
fn sockets_do_what_std_promises() {
    for processors in CPUS {
        sockets(processors, Network::User, &[]).expect_line("holdfast: net 10.0.2.15/24 by DHCP");
    }
}

#[test]
fn an_address_of_the_command_line_is_taken() {
    for processors in CPUS {
        let outcome = sockets(processors, Network::User, &["ip=10.0.2.77/24,10.0.2.2"]);
        outcome.expect_line("holdfast: net 10.0.2.77/24");
    }
}

#[test]
fn a_machine_without_a_network_card_talks_to_itself() {
    for processors in CPUS {
        let outcome = sockets(processors, Network::None, &[]);
        outcome.expect_line("holdfast: no network card; this machine can talk only to itself");
    }
}
