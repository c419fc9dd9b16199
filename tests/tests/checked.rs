//! The checked build of the guest programs, in which libos checks its own rules while they run: the order of locks, and
//! that nothing sleeps or allocates where it must not.

use std::io::{Read, Write};
use std::net::TcpStream;

use holdfast_tests::machine::{CPUS, PATIENCE, checked, machine, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::size::MIB;

#[test]
fn std_programs_break_no_rule() {
    for smp in CPUS {
        for group in ["basics", "datagrams", "events", "memory", "streams", "sync", "threads", "timing"] {
            let options = MachineOptions { smp, memory: 256 * MIB, ..machine("std_suite", &[group]) };
            run(checked(options, "std_suite")).expect_exit(0).expect_text(" checks are ok");
        }
    }
}

#[test]
fn grants_and_moves_break_no_rule() {
    for smp in CPUS {
        for (program, arguments) in [("grants", &[][..]), ("cpus", &["checks"])] {
            let images = [0, 1].map(|seed| Pattern::new(16 * MIB, 16 * MIB, seed));
            let mut options = MachineOptions { smp, memory: 256 * MIB, ..machine(program, arguments) };
            options.pmem.extend(images.iter().map(Pattern::open));
            run(checked(options, program)).expect_exit(0);
        }
    }
}

#[test]
fn the_network_breaks_no_rule() {
    for smp in CPUS {
        let options = MachineOptions { smp, network: Network::User, memory: 128 * MIB, ..machine("sockets", &[]) };
        run(checked(options, "sockets")).expect_exit(0).expect_line("sockets: ok");
        let options = MachineOptions { smp, network: Network::User, memory: 256 * MIB, ..machine("servers", &[]) };
        let machine = Machine::start(checked(options, "servers"), None).unwrap();
        let ready = machine.console().wait_for_line(PATIENCE, |line| (line == "servers: ready").then_some(()));
        assert!(ready.is_some(), "{:?}", machine.console().lines());
        let echo = machine.forward_any(7000).unwrap();
        for round in 0..20 {
            let mut stream = TcpStream::connect(echo.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&[round; 10_000]).unwrap();
            let mut back = [0; 10_000];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 10_000]);
        }
        assert_eq!(machine.console().exit(), None);
    }
}

#[test]
fn breaking_a_rule_stops_the_machine_with_both_places() {
    for (way, told, places) in [
        ("inversion", "holdfast: FATAL lock order: Space is taken at ", 2),
        ("sleep-with-a-lock", "holdfast: FATAL what may sleep is called at ", 2),
        ("sleep-in-a-trap", "holdfast: FATAL what may sleep is called at ", 1),
        ("sleep-without-interrupts", "holdfast: FATAL what may sleep is called at ", 1),
        ("allocate-in-a-trap", "holdfast: FATAL a trap handler takes the lock Heap at ", 0),
    ] {
        let outcome = run(checked(machine("rules", &[way]), "rules"));
        outcome.expect_exit(exit::PANIC);
        assert_eq!(outcome.after(told).matches("rules.rs").count(), places, "{outcome}");
    }
}

#[test]
fn control_without_the_checks_a_broken_rule_goes_unnoticed() {
    run(machine("rules", &["inversion"])).expect_exit(0).expect_line("rules: nothing was noticed");
}
