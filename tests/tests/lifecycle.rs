//! Devices that go away and come back under another key, while others hold sections, grants and pointers.

use holdfast_tests::machine::{Outcome, machine, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::Protection;
use xtask::size::MIB;

const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];

/// Runs the program `lifecycle`, and returns what it printed and left behind.
fn lifecycle(way: &str, devices: u64, protection: Protection, processors: u32) -> (Outcome, Vec<Pattern>) {
    let images: Vec<_> = (0..devices).map(|seed| Pattern::new(16 * MIB, 4096, seed)).collect();
    let mut options = machine("lifecycle", &[way]);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection.into();
    options.smp = processors;
    (run(options), images)
}

#[test]
fn devices_go_away_when_nobody_uses_them_and_come_back_under_another_key() {
    for protection in [Protection::Pks, Protection::Pku, Protection::None] {
        for processors in [1, 4] {
            let (outcome, _) = lifecycle("checks", 2, protection, processors);
            outcome.expect_exit(0).expect_line("lifecycle: all ok");
            assert_eq!(outcome.count("ok "), 10, "{outcome}");
        }
    }
}

#[test]
fn a_pointer_into_a_device_that_has_gone_away_faults() {
    for protection in BACKENDS {
        let (outcome, images) = lifecycle("gone", 2, protection, 1);
        outcome.expect_exit(exit::PROTECTION_FAULT);
        outcome
            .report()
            .expect_headline("holdfast: FAULT stray write of pmem0 at offset 0x4000 ")
            .expect_in_headline("which has gone away");
        assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]), "{outcome}");
    }
}

#[test]
fn a_pointer_from_before_a_device_came_back_faults() {
    for protection in BACKENDS {
        let (outcome, images) = lifecycle("back", 2, protection, 1);
        outcome.expect_exit(exit::PROTECTION_FAULT);
        outcome
            .report()
            .expect_headline("holdfast: FAULT stray write of pmem0 at offset 0x4000 ")
            .expect_in_headline(", key 2)");
        assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]), "{outcome}");
    }
}

#[test]
fn control_without_protection_the_pointer_reaches_the_device_that_came_back() {
    let (outcome, images) = lifecycle("back", 2, Protection::None, 1);
    outcome.expect_exit(0);
    assert_ne!(images[0].changes(), [], "{outcome}");
}

#[test]
fn the_sixteenth_device_waits_for_a_key() {
    for protection in BACKENDS {
        let (outcome, _) = lifecycle("keys", 16, protection, 1);
        outcome
            .expect_exit(0)
            .expect_line("lifecycle: all 15 protection keys are in use")
            .expect_line("lifecycle: all ok");
        assert!(outcome.after("holdfast: pmem14 ").contains(" key 15 "), "{outcome}");
        assert!(outcome.after("holdfast: pmem15 ").contains(" is not in use: all 15 protection keys"), "{outcome}");
    }
}
