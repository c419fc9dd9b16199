//! Page tables as the guest uses them: of four and five levels, with leaves of 1 GiB, 2 MiB and 4 KiB, changed while
//! other CPUs look.

use holdfast_tests::machine::{Outcome, machine, run};
use holdfast_tests::pattern::{Change, Pattern};
use libos_contract::exit;
use xtask::qemu::{FaultPolicy, MachineOptions, Protection};
use xtask::size::{GIB, MIB};

const PAGE: u64 = 4096;
/// Where it stores what a page denies.
const DENIED: u64 = 14 * MIB + 3 * PAGE + 0x128;

/// A machine that runs `pages`, with an NVDIMM of this length.
fn pages(arguments: &[&str], length: u64, words: &[&str]) -> (MachineOptions, Pattern) {
    let image = Pattern::new(length, 32 * MIB, 0);
    let mut options = machine("pages", arguments);
    options.pmem.push(image.open());
    options.kernel_options = words.iter().map(|&word| word.to_owned()).collect();
    (options, image)
}

/// Fails unless every check of the program is ok and the image has changed where it should.
fn expect_ok(outcome: &Outcome, image: &Pattern) {
    outcome.expect_exit(0).expect_line("pages: all ok");
    for check in [
        "a-boot-maps-with-large-pages",
        "a-protected-page-is-split-off-and-keeps-its-attributes",
        "stores-around-a-protected-page-succeed",
        "what-is-writable-again-can-be-stored-to",
        "ranges-over-the-ends-of-large-pages",
        "the-whole-device",
        "what-is-no-range-of-pages-is-refused",
        "nothing-but-permissions-has-changed",
        "readers-never-notice-a-split",
        "a-cpu-that-remembers-a-protected-page-stores-once-it-is-writable",
        "the-audit-sees-registers-that-were-changed-past-the-library",
    ] {
        outcome.expect_line(&format!("ok {check}"));
    }
    let stored = |offset, values: &[u64]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Change { offset, bytes }
    };
    let expected = [
        stored(6 * MIB, &[0x44]),
        stored(10 * MIB + 9 * PAGE - 8, &[0x11, 0x33]),
        stored(10 * MIB + 10 * PAGE, &[0x22]),
        stored(24 * MIB, &[0x55]),
    ];
    assert_eq!(image.changes(), expected, "{outcome}");
}

fn checks(protection: Protection, levels: u32, processors: u32) {
    let word = format!("paging={levels}");
    let (mut options, image) = pages(&[], GIB, &[&word]);
    options.protection = protection.into();
    options.smp = processors;
    let outcome = run(options);
    expect_ok(&outcome, &image);
    outcome
        .expect_line(&format!("holdfast: {levels}-level paging, pages of up to 1.0 GiB"))
        .expect_line(&format!("pages: {levels} levels, the first leaf has {GIB} bytes"))
        // 511 pages of 2 MiB are left of the one of 1 GiB, and 512 of 4 KiB.
        .expect_line("pages: 1023 leaves of pmem after the split");
}

#[test]
fn four_levels_under_pks_with_one_cpu_and_four() {
    [1, 4].into_iter().for_each(|processors| checks(Protection::Pks, 4, processors));
}

#[test]
fn five_levels_under_pks_with_one_cpu_and_four() {
    [1, 4].into_iter().for_each(|processors| checks(Protection::Pks, 5, processors));
}

#[test]
fn four_levels_under_pku_with_one_cpu_and_four() {
    [1, 4].into_iter().for_each(|processors| checks(Protection::Pku, 4, processors));
}

#[test]
fn five_levels_under_pku_with_one_cpu_and_four() {
    [1, 4].into_iter().for_each(|processors| checks(Protection::Pku, 5, processors));
}

#[test]
fn a_cpu_without_pages_of_a_gibibyte_has_those_of_two_mebibytes() {
    for protection in [Protection::Pks, Protection::Pku] {
        let (mut options, image) = pages(&[], 64 * MIB, &[]);
        options.protection = protection.into();
        options.cpu_features = vec!["-pdpe1gb".into()];
        let outcome = run(options);
        expect_ok(&outcome, &image);
        outcome
            .expect_line("holdfast: 4-level paging, pages of up to 2.0 MiB")
            .expect_line("pages: 4 levels, the first leaf has 2097152 bytes")
            .expect_line("pages: 543 leaves of pmem after the split");
    }
}

#[test]
fn five_levels_on_a_cpu_that_has_four_are_refused() {
    let (mut options, image) = pages(&[], 64 * MIB, &["paging=5"]);
    options.cpu_features = vec!["-la57".into()];
    let outcome = run(options);
    outcome.expect_exit(exit::BOOT_REFUSED);
    let reason = outcome.after("holdfast: cannot boot: ");
    assert!(reason.contains("LA57") && reason.contains("paging=auto"), "{reason}");
    assert_eq!(image.changes(), []);
}

#[test]
fn without_a_choice_a_machine_with_little_memory_has_four_levels() {
    let (options, _image) = pages(&["without-a-grant"], 64 * MIB, &[]);
    run(options).expect_text("holdfast: 4-level paging");
}

/// Fails unless the store of the program's way faults with this in the headline, and nothing has changed.
fn denied(way: &str, change: impl Fn(&mut MachineOptions), in_headline: &str) -> Vec<Outcome> {
    let run_on = |protection: Protection| {
        let (mut options, image) = pages(&[way], 64 * MIB, &[]);
        options.protection = protection.into();
        change(&mut options);
        let outcome = run(options);
        outcome.expect_exit(exit::PROTECTION_FAULT).expect_line(&format!("pages: {way}"));
        assert_eq!(outcome.count("pages: survived"), 0, "{outcome}");
        outcome
            .report()
            .expect_in_headline(&format!("of pmem0 at offset {DENIED:#x} "))
            .expect_in_headline(in_headline);
        assert_eq!(image.changes(), [], "{outcome}");
        outcome
    };
    [Protection::Pks, Protection::Pku].map(run_on).into()
}

const WRITE_FIRST: &str = "0x55555550 (key 0 always open, key 1 pmem0 write, the others closed)";

#[test]
fn a_store_to_a_protected_page_inside_a_write_grant_is_reported_with_its_device() {
    for outcome in denied("in-a-write-grant", |_| {}, "stray write of pmem0") {
        outcome
            .report()
            .expect_in_headline("key 1), where pages are write-protected, policy strict: machine stopped")
            .expect_rights(WRITE_FIRST)
            .expect_backtrace("tests/programs/src/bin/pages/", &[]);
    }
}

#[test]
fn a_store_to_a_protected_page_without_a_grant_is_a_stray_access_like_any_other() {
    denied("without-a-grant", |_| {}, "stray write of pmem0");
}

#[test]
fn the_relaxed_policy_opens_keys_and_not_protected_pages() {
    for outcome in denied("without-a-grant", |options| options.fault_policy = FaultPolicy::Relaxed, "policy relaxed") {
        outcome.expect_text("where pages are write-protected, policy relaxed: machine stopped, since no grant");
        assert_eq!(outcome.count("holdfast: FAULT "), 2, "{outcome}");
    }
}

#[test]
fn a_thread_that_stores_to_a_protected_page_can_be_ended_alone() {
    for protection in [Protection::Pks, Protection::Pku] {
        let (mut options, image) = pages(&["in-a-thread"], 64 * MIB, &[]);
        options.protection = protection.into();
        options.fault_policy = FaultPolicy::EndThread;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line("pages: 1 thread ended").expect_line("pages: survived");
        outcome.report().expect_in_headline("where pages are write-protected, policy end-thread: thread ended");
        assert_eq!(image.changes(), [], "{outcome}");
    }
}

#[test]
fn a_jump_into_a_device_is_reported_with_it() {
    denied("execute", |_| {}, "stray execution of pmem0");
}

#[test]
fn a_page_is_protected_on_every_cpu_before_the_call_returns() {
    for (protection, processors) in [(Protection::Pks, 2), (Protection::Pks, 4), (Protection::Pku, 4)] {
        let (mut options, image) = pages(&["on-another-cpu"], 64 * MIB, &[]);
        options.protection = protection.into();
        options.smp = processors;
        options.fault_policy = FaultPolicy::EndThread;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line("pages: 20 threads ended, 0 stored late");
        outcome
            .report()
            .expect_in_headline("where pages are write-protected, policy end-thread: thread ended")
            .expect_thread(&format!("\"<unnamed>\" on cpu {}", processors - 1))
            .expect_rights(WRITE_FIRST);
        assert_eq!(image.changes(), [], "{outcome}");
    }
}

#[test]
fn control_without_protection_a_protected_page_is_still_protected() {
    let (mut options, image) = pages(&["in-a-write-grant"], 64 * MIB, &[]);
    options.protection = Protection::None.into();
    let outcome = run(options);
    outcome.expect_exit(exit::PROTECTION_FAULT).report().expect_in_headline("where pages are write-protected");
    assert_eq!(image.changes(), []);
}
