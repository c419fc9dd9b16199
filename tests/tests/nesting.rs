//! Traps inside traps: each has its own rights, its own frame and its own stack.

use holdfast_tests::machine::{Outcome, machine, run};
use holdfast_tests::pattern::Pattern;
use xtask::qemu::{FaultPolicy, Protection};
use xtask::size::MIB;

const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];

fn nesting(way: &str, protection: Protection, processors: u32, policy: FaultPolicy) -> Outcome {
    let images = [0, 1].map(|seed| Pattern::new(16 * MIB, 16 * MIB, seed));
    let mut options = machine("nesting", &[way]);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection;
    options.smp = processors;
    options.fault_policy = policy;
    run(options)
}

#[test]
fn traps_nest_and_none_sees_the_rights_of_another() {
    for protection in BACKENDS {
        for processors in [1, 2, 4] {
            let outcome = nesting("checks", protection, processors, FaultPolicy::Strict);
            outcome.expect_exit(0).expect_line("nesting: all ok");
            for check in [
                "a-fault-inside-a-fault-handler",
                "an-nmi-inside-a-fault-handler",
                "an-nmi-inside-an-interrupt-inside-a-grant",
                "nmis-during-grants",
                "a-fault-inside-a-grant-inside-an-interrupt-inside-a-grant",
                "nmis-while-accesses-are-let-through",
                "preemption-while-accesses-are-let-through",
            ] {
                outcome.expect_line(&format!("ok {check}"));
            }
        }
    }
}

#[test]
fn a_stray_nmi_handler_inside_a_fault_handler_is_final_and_reported_with_its_whole_way() {
    for protection in BACKENDS {
        for policy in [FaultPolicy::Strict, FaultPolicy::EndThread, FaultPolicy::Relaxed] {
            let outcome = nesting("nmi-strays", protection, 1, policy);
            outcome.expect_exit(103);
            outcome
                .report()
                .expect_headline("holdfast: FAULT stray write of pmem1 at offset 0x4000 ")
                .expect_in_headline("machine stopped, since an NMI handler did it, where every fault is final")
                .expect_thread("\"main\" on cpu 0, in a handler that interrupted it, 2 levels deep")
                .expect_rights("0x55555554 (key 0 always open, the others closed)")
                .expect_backtrace(
                    "tests/programs/src/bin/nesting.rs",
                    &["poke", "nmi_here", "interrupted_by_nmi", "main"],
                );
        }
    }
}
