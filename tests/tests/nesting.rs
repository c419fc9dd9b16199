//! Traps inside traps: each has its own rights, its own frame and its own stack.

use holdfast_tests::machine::{CPUS, Outcome, PATIENCE, machine, outcome, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::{FaultPolicy, Machine, MachineOptions, Protection};
use xtask::size::MIB;

const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];

fn images() -> [Pattern; 2] {
    [0, 1].map(|seed| Pattern::new(16 * MIB, 16 * MIB, seed))
}

fn options(way: &str, images: &[Pattern; 2], protection: Protection) -> MachineOptions {
    let mut options = machine("nesting", &[way]);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection.into();
    options
}

fn nesting(way: &str, protection: Protection, processors: u32, policy: FaultPolicy) -> Outcome {
    let images = images();
    run(MachineOptions { smp: processors, fault_policy: policy, ..options(way, &images, protection) })
}

/// Does something to the machine while its program is in a write grant, and waits for its end.
fn interrupted(protection: Protection, interrupt: impl FnOnce(&Machine)) -> Outcome {
    let images = images();
    let options = options("wait", &images, protection);
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    wait_for(&machine, "nesting: waiting in a write grant");
    interrupt(&machine);
    outcome(&machine, &image)
}

fn wait_for(machine: &Machine, wanted: &str) {
    machine.console().wait_for_line(PATIENCE, |line| (line == wanted).then_some(())).unwrap();
}

/// What the reports of exceptions inside a write grant of `pmem0` show.
const GRANTED: &str = "0x55555550 (key 0 always open, key 1 pmem0 write, the others closed)";

/// Makes the machine's CPU report an uncorrected error in bank 1 that corrupted the processor's context (SDM volume 3B,
/// section 16.3.2.2).
fn check_machine(machine: &Machine) {
    // The machine may have ended before QEMU answers.
    let _ = machine.monitor_command("mce 0 1 0xb200000000000000 0x4 0 0");
}

/// The end by a machine check inside the grant.
fn expect_machine_check(outcome: &Outcome) {
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #MC machine check (vector 18)")
        .expect_thread("\"main\" on cpu 0")
        .expect_rights(GRANTED);
}

#[test]
fn a_machine_check_inside_a_grant_is_reported_with_the_grant() {
    for protection in BACKENDS {
        expect_machine_check(&interrupted(protection, check_machine));
    }
}

#[test]
fn a_non_maskable_interrupt_that_nobody_handles_leaves_the_grant_as_it_was() {
    for protection in BACKENDS {
        expect_machine_check(&interrupted(protection, |machine| {
            machine.inject_nmi().unwrap();
            // Or the machine check would come inside its handler.
            wait_for(machine, "nesting: an unexpected interrupt came and went");
            check_machine(machine);
        }));
    }
}

#[test]
fn traps_nest_and_none_sees_the_rights_of_another() {
    for protection in BACKENDS {
        for processors in CPUS {
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
        for policy in FaultPolicy::ALL {
            let outcome = nesting("nmi-strays", protection, 1, policy);
            outcome.expect_exit(exit::PROTECTION_FAULT);
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
