//! The exploration of `cargo xtask crash`, in small, and that it finds what there is to find.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use holdfast_tests::crash::explore::{ExploreOptions, Totals, explore};
use holdfast_tests::crash::load::Size;
use holdfast_tests::crash::record::{Recording, Run};
use xtask::crash::Plant;
use xtask::guest;
use xtask::size::MIB;

fn record(image: &Path, size: Size, smp: u32, directory: &Path) -> Recording {
    let run = Run { size, length: 2 * MIB, smp };
    run.record(image, directory, &|line| println!("{line}")).unwrap()
}

fn explored(recording: &Recording, images: u64, jobs: usize) -> Totals {
    explore(recording, ExploreOptions { images, jobs, stop: &AtomicBool::new(false) }, &|_| {}).unwrap()
}

#[test]
fn a_booted_store_stands_every_power_cut_and_a_recorded_run_is_explored_alike_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let size = Size { seed: 1, clients: 3, lives: 2, phases: 2, pipelines: 5 };
    let recording = record(&guest::quick_image("kvstore").unwrap(), size, 1, directory.path());
    let totals = explored(&recording, 300, 2);
    if let Some(violation) = &totals.violation {
        panic!("{}", violation.explain(&recording).unwrap().join("\n"));
    }
    println!("{totals:?}");
    assert!(totals.images >= 300 && totals.used > 0 && totals.in_recovery > 0, "{totals:?}");
    let again = explored(&Recording::load(directory.path()).unwrap(), 300, 1);
    assert_eq!(format!("{totals:?}"), format!("{again:?}"));
}

#[test]
fn a_store_on_two_processors_stands_power_cuts() {
    let directory = tempfile::tempdir().unwrap();
    let size = Size { seed: 2, clients: 2, lives: 1, phases: 1, pipelines: 4 };
    let recording = record(&guest::quick_image("kvstore").unwrap(), size, 2, directory.path());
    let totals = explored(&recording, 50, 2);
    assert!(totals.violation.is_none() && totals.images >= 50, "{totals:?}");
}

/// Explores an image with a planted defect. Returns the explanation of what was found.
fn find(name: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let size = Size { seed: 1, clients: 2, lives: 1, phases: 1, pipelines: 8 };
    let recording = record(&Plant::find("kvstore", name).unwrap().image().unwrap(), size, 1, directory.path());
    let totals = explored(&recording, 10_000, 2);
    let violation = totals.violation.as_ref().unwrap_or_else(|| panic!("{name} is not found: {totals:?}"));
    let explanation = violation.explain(&recording).unwrap().join("\n");
    println!("{explanation}");
    explanation
}

/// Whether it says what became of the data. Which of the two comes first depends on the load: an end of a batch that is
/// not durable is a lost record while nothing follows it, and damage once something does.
fn is_named(explanation: &str) -> bool {
    [" was acknowledged", "a power cut was taken for damage"].iter().any(|way| explanation.contains(way))
}

#[test]
fn a_missing_write_back_is_found_with_the_line_that_was_not_durable() {
    let explanation = find("write-back");
    assert!(is_named(&explanation) && explanation.contains("and never written back"), "{explanation}");
}

#[test]
fn a_missing_fence_is_found_with_the_lines_that_were_not_durable() {
    let explanation = find("fence");
    assert!(explanation.contains("without a fence since, by 0x"), "{explanation}");
    // A long batch is stored past the caches, a short one written back.
    let ways = ["write_back (", "stream ("].iter().any(|way| explanation.contains(way));
    assert!(is_named(&explanation) && ways && !explanation.contains("never written back"), "{explanation}");
}

#[test]
fn a_reply_that_overtakes_its_fence_is_found() {
    let explanation = find("reply");
    assert!(explanation.contains(" was acknowledged"), "{explanation}");
    assert!(explanation.contains("had not been stored yet"), "{explanation}");
}
