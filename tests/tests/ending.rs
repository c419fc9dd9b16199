//! The policy that ends a thread that goes astray: the machine goes on where that is safe and stops where it is not.

use holdfast_tests::machine::{Outcome, machine, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::{FaultPolicy, Protection};
use xtask::size::MIB;

const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];
const WAYS: [&str; 4] = ["without-a-grant", "in-its-own-read-grant", "in-another-device's-write-grant", "in-a-section"];

/// Runs the program `ending`, and returns what it printed and left behind.
fn ending(way: &str, protection: Protection, processors: u32) -> (Outcome, [Pattern; 2]) {
    let images = [0, 1].map(|seed| Pattern::new(16 * MIB, 16 * MIB, seed));
    let mut options = machine("ending", &[way]);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection.into();
    options.smp = processors;
    options.fault_policy = FaultPolicy::EndThread;
    (run(options), images)
}

fn expect_unchanged(outcome: &Outcome, images: &[Pattern; 2]) {
    assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]), "{outcome}");
}

#[test]
fn a_service_goes_on_while_threads_go_astray_and_are_ended() {
    for protection in BACKENDS {
        for processors in [1, 4] {
            let (outcome, images) = ending("threads", protection, processors);
            outcome.expect_exit(0).expect_line("ending: 20 threads ended").expect_line("ending: survived");
            for way in WAYS {
                outcome.expect_line(&format!("ok {way}"));
            }
            assert_eq!(outcome.count("holdfast: FAULT stray write of pmem0 at offset 0x123450 "), 20, "{outcome}");
            outcome.report().expect_in_headline("policy end-thread: thread ended");
            expect_unchanged(&outcome, &images);
        }
    }
}

#[test]
fn control_without_protection_no_thread_is_ended_and_the_image_is_corrupted() {
    let (outcome, images) = ending("threads", Protection::None, 4);
    outcome.expect_exit(0).expect_line("ending: 0 threads ended").expect_line("ending: survived");
    assert_ne!(images[0].changes(), [], "{outcome}");
}

#[test]
fn the_program_ends_with_its_main_thread() {
    for protection in BACKENDS {
        let (outcome, images) = ending("main", protection, 2);
        outcome.expect_exit(exit::PROTECTION_FAULT);
        outcome.report().expect_in_headline("policy end-thread: thread ended");
        assert_eq!(outcome.count("ending: survived"), 0, "{outcome}");
        expect_unchanged(&outcome, &images);
    }
}

#[test]
fn who_joins_an_ended_thread_panics() {
    // `std` takes the result that every thread leaves when it returns; one that was ended has left none.
    let (outcome, images) = ending("join", Protection::Pks, 1);
    outcome.expect_exit(exit::PANIC).expect_text("threads should not terminate unexpectedly");
    expect_unchanged(&outcome, &images);
}

#[test]
fn the_machine_stops_where_no_thread_can_be_ended() {
    for (way, reason) in [
        ("interrupt", "machine stopped, since it was no thread but an interrupt handler"),
        ("locked", "machine stopped, since the thread was inside the library and holds what others wait for"),
    ] {
        for protection in BACKENDS {
            let (outcome, images) = ending(way, protection, 2);
            outcome.expect_exit(exit::PROTECTION_FAULT);
            outcome.report().expect_in_headline(reason);
            expect_unchanged(&outcome, &images);
        }
    }
}
