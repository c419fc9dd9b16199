//! A part of the matrix that `cargo xtask faults --directed` runs: every shape in one context, and every context with
//! one shape, on both backends and without protection.

use holdfast_tests::faults::directed::{self, Cell, Finished, LENGTH};
use holdfast_tests::machine::{machine, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::{FaultPolicy, Protection};

/// Runs the cells that `choose` takes, and fails unless all come out as expected.
fn expect(choose: impl Fn(&Cell) -> bool) {
    let cells: Vec<Cell> = Cell::all().filter(choose).collect();
    assert!(!cells.is_empty());
    let results = directed::run(&cells, 2, |_| {});
    let wrong: Vec<String> = results.iter().filter_map(Finished::complaint).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_shape_of_a_stray_access_is_stopped() {
    expect(|cell| cell.context.name == "no-grant");
}

#[test]
fn a_stray_access_is_stopped_in_every_context() {
    expect(|cell| cell.shape.name == "movups" && cell.context.name != "huge-page");
}

#[test]
fn no_policy_lets_a_stack_in_pmem_through() {
    let stop = "machine stopped, since the stack pointer is in persistent memory, where every trap would store";
    for (policy, reason) in [(FaultPolicy::Relaxed, stop), (FaultPolicy::EndThread, "machine stopped, since ")] {
        for protection in [Protection::Pks, Protection::Pku] {
            for (context, shape) in [
                ("no-grant", "push"),
                ("no-grant", "pop"),
                ("no-grant", "int"),
                ("no-grant", "interrupted"),
                ("no-grant", "exception"),
                ("read-grant", "call"),
                ("timer", "push"),
                ("interrupt", "int"),
            ] {
                let images = [0, 1].map(|seed| Pattern::new(LENGTH, LENGTH, seed));
                let mut options = machine("stray", &[context, shape, "0,0"]);
                options.pmem.extend(images.iter().map(Pattern::open));
                options.protection = protection.into();
                options.fault_policy = policy;
                let outcome = run(options);
                outcome.expect_exit(exit::PROTECTION_FAULT).report().expect_in_headline(reason);
                assert_eq!(outcome.count("holdfast: FAULT "), 1, "{outcome}");
                assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]), "{outcome}");
            }
        }
    }
}

/// The interrupted thread may write to its stack, and the handler, which shares it, may not.
#[test]
fn an_interrupt_on_a_stack_in_granted_pmem_ends_in_a_report() {
    for protection in [Protection::Pks, Protection::Pku] {
        let images = [0, 1].map(|seed| Pattern::new(LENGTH, LENGTH, seed));
        let mut options = machine("stray", &["granted-stack"]);
        options.pmem.extend(images.iter().map(Pattern::open));
        options.protection = protection.into();
        let outcome = run(options);
        outcome
            .expect_exit(exit::PROTECTION_FAULT)
            .report()
            .expect_headline("holdfast: FAULT stray ")
            .expect_in_headline(" of pmem0 at ");
        assert_eq!(images[1].changes(), []);
    }
}
