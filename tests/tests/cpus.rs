//! Several CPUs: threads move with everything that is theirs.

use holdfast_tests::machine::{CPUS, machine, run};
use holdfast_tests::pattern::Pattern;
use xtask::qemu::{FaultPolicy, MachineOptions, Protection};
use xtask::size::MIB;

/// Runs the program `cpus` on every number of CPUs, and fails unless all its checks are ok.
fn checks(protection: Protection) {
    for processors in CPUS {
        let images = [0, 1].map(|seed| Pattern::new(16 * MIB, 16 * MIB, seed));
        let mut options = MachineOptions {
            smp: processors,
            protection: protection.into(),
            memory: 256 * MIB,
            ..machine("cpus", &["checks"])
        };
        options.pmem.extend(images.iter().map(Pattern::open));
        let outcome = run(options);
        outcome.expect_exit(0).expect_line(&format!("cpus: all ok on {processors} cpus"));
        for check in [
            "nobody-wakes-an-idle-machine",
            "threads-spread-over-all-cpus",
            "a-pinned-thread-stays-on-its-cpu",
            "a-grant-moves-with-its-thread",
            "registers-and-rights-move-at-any-instruction",
            "a-wake-ends-one-wait",
            "resting-cpus-forget-what-was-unmapped",
        ] {
            outcome.expect_line(&format!("ok {check}"));
        }
        // What the checks store is what was there.
        assert_eq!(images.map(|image| image.changes()), [vec![], vec![]], "{outcome}");
    }
}

#[test]
fn threads_move_with_their_rights_and_registers_on_pks() {
    checks(Protection::Pks);
}

#[test]
fn threads_move_with_their_rights_and_registers_on_pku() {
    checks(Protection::Pku);
}

/// Without keys, so that no write of their register makes the emulator drop translations in the meantime.
#[test]
fn a_cpu_that_rested_does_not_store_by_what_it_remembers() {
    for processors in [2, 4, 8] {
        let image = Pattern::new(16 * MIB, 16 * MIB, 0);
        let mut options = MachineOptions {
            smp: processors,
            protection: Protection::None.into(),
            fault_policy: FaultPolicy::EndThread,
            ..machine("cpus", &["resting"])
        };
        options.pmem.push(image.open());
        let outcome = run(options);
        outcome.expect_exit(0);
        outcome.expect_line(&format!("cpus: no resting cpu of {processors} stores by what it remembers"));
        let stopped = outcome.count("holdfast: FAULT stray write of pmem0 at offset 0x123000 ");
        assert_eq!(stopped, 5 * (processors as usize - 1), "{outcome}");
        assert_eq!(image.changes(), vec![], "{outcome}");
    }
}
