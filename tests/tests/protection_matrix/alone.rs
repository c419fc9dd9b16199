//! Cases that end their machine, or have an image that the host judges: each has a machine of its own.

use holdfast_tests::machine::{Outcome, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use libtest_mimic::Trial;
use xtask::qemu::{FaultPolicy, Protection};
use xtask::size::MIB;

use crate::shared::{keys, verdict};
use crate::trial;

/// What a stray store writes, and where.
const MARK: &[u8; 8] = b"RAYSTRAW";
const PLACE: u64 = 0x20_3450;

/// How long the second and the third image are.
const LENGTH: u64 = 16 * MIB;

/// What follows from a case.
struct Alone {
    case: &'static str,
    policy: FaultPolicy,
    judge: fn(&Outcome, &[Pattern]),
}

const ALONE: &[Alone] = &[
    Alone { case: "pks_test::crash", policy: FaultPolicy::Strict, judge: stops },
    Alone { case: "test_pks::create_fault", policy: FaultPolicy::Strict, judge: stops },
    Alone { case: "ours::strict", policy: FaultPolicy::Strict, judge: stops },
    Alone { case: "ours::relaxed", policy: FaultPolicy::Relaxed, judge: goes_on },
    Alone { case: "ours::relaxed_in_a_grant", policy: FaultPolicy::Relaxed, judge: goes_on_in_a_grant },
    Alone { case: "ours::changed_at_run_time", policy: FaultPolicy::Strict, judge: goes_on_and_stops },
    Alone { case: "ours::panic_in_a_grant", policy: FaultPolicy::Strict, judge: panics },
    Alone { case: "ours::rep_movs_stops_at_the_edge", policy: FaultPolicy::Strict, judge: stops_at_the_edge },
    Alone { case: "ours::fault_in_nmi_is_final", policy: FaultPolicy::Relaxed, judge: stops_in_an_nmi },
    Alone { case: "ours::byte_before_all", policy: FaultPolicy::Strict, judge: is_an_ordinary_fault },
    Alone { case: "ours::byte_after_all", policy: FaultPolicy::Strict, judge: is_an_ordinary_fault },
];

/// The names of these cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALONE.iter().map(|alone| alone.case)
}

/// The tests of these cases.
pub(crate) fn trials(backend: Protection) -> Vec<Trial> {
    let test = |alone: &'static Alone| {
        trial(format!("{}::{}", backend.word(), alone.case), move || {
            let (mut options, _images) = keys(backend, &[alone.case]);
            options.fault_policy = alone.policy;
            // The first three devices have a pattern, in which every byte that changes is found.
            let patterns: Vec<_> =
                (0..3).map(|seed| Pattern::new(options.pmem[seed].length(), 4 * MIB, seed as u64)).collect();
            for (index, pattern) in patterns.iter().enumerate() {
                options.pmem[index] = pattern.open();
            }
            let outcome = run(options);
            (alone.judge)(&outcome, &patterns);
            if outcome.count("keys: done") == 1 { verdict(&outcome, alone.case) } else { Ok(()) }
        })
    };
    ALONE.iter().map(test).collect()
}

/// Fails unless nothing is as it was but these bytes of the first device.
fn expect_changes(patterns: &[Pattern], expected: &[(u64, &[u8])]) {
    let found: Vec<_> = patterns[0].changes().into_iter().map(|change| (change.offset, change.bytes)).collect();
    let expected: Vec<_> = expected.iter().map(|&(offset, bytes)| (offset, bytes.to_vec())).collect();
    assert_eq!(found, expected);
    assert_eq!((patterns[1].changes(), patterns[2].changes()), (vec![], vec![]));
}

/// The first stray store ends it, with a report, and no byte has changed.
fn stops(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::PROTECTION_FAULT);
    outcome
        .report()
        .expect_headline(&format!("holdfast: FAULT stray write of pmem0 at offset {PLACE:#x} "))
        .expect_in_headline("policy strict");
    assert_eq!(outcome.count("keys: done"), 0, "{outcome}");
    expect_changes(patterns, &[]);
}

/// A fault where nothing can return from it ends it under every policy.
fn stops_in_an_nmi(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::PROTECTION_FAULT);
    let headline = format!("holdfast: FAULT stray write of pmem0 at offset {PLACE:#x} ");
    outcome.report().expect_headline(&headline).expect_in_headline("policy relaxed: machine stopped");
    expect_changes(patterns, &[]);
}

/// One report for one place in the code, and exactly the bytes that were stored.
fn goes_on(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(0);
    assert_eq!(outcome.count("holdfast: FAULT "), 1, "{outcome}");
    outcome.report().expect_in_headline("policy relaxed");
    expect_changes(patterns, &[(PLACE, &MARK.repeat(4))]);
}

fn goes_on_in_a_grant(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(0);
    assert_eq!(outcome.count("holdfast: FAULT "), 1, "{outcome}");
    expect_changes(patterns, &[(PLACE + 8, &MARK.repeat(3))]);
}

/// The store under the relaxed policy is let through, the one after it under the strict policy is not.
fn goes_on_and_stops(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::PROTECTION_FAULT).expect_line("keys: let through");
    assert_eq!(outcome.count("holdfast: FAULT "), 2, "{outcome}");
    expect_changes(patterns, &[(PLACE, MARK)]);
}

/// A panic ends the program; what its grant permitted is there, and nothing else.
fn panics(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::PANIC);
    assert_eq!(outcome.count("holdfast: FAULT "), 0, "{outcome}");
    expect_changes(patterns, &[(PLACE, MARK)]);
}

/// A copy with a grant for the second device that runs into the third: all bytes before the edge, none after it.
fn stops_at_the_edge(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::PROTECTION_FAULT);
    outcome.report().expect_headline("holdfast: FAULT stray write of pmem2 at offset 0x0 ");
    let changes: Vec<_> = patterns[1].changes().into_iter().map(|change| (change.offset, change.bytes)).collect();
    assert_eq!(changes, [(LENGTH - 1000, vec![0x5a; 1000])]);
    assert_eq!((patterns[0].changes(), patterns[2].changes()), (vec![], vec![]));
}

/// Beyond all devices there is nothing that a key could guard.
fn is_an_ordinary_fault(outcome: &Outcome, patterns: &[Pattern]) {
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: write ")
        .expect_in_headline("nothing is mapped there");
    expect_changes(patterns, &[]);
}
