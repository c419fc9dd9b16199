//! The campaign of `cargo xtask faults`, in small, and that it sees what there is to see.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use holdfast_tests::faults::campaign;
use holdfast_tests::faults::judge::Data;
use holdfast_tests::faults::places::WorkingSet;
use holdfast_tests::faults::plan::{Plan, Target};
use holdfast_tests::faults::record::{Ending, Group, Outcome, Record};
use holdfast_tests::faults::report::Summary;
use holdfast_tests::faults::run::{Bench, Certain};
use holdfast_tests::faults::runs::CampaignOptions;
use holdfast_tests::faults::windows;
use libos_contract::exit;
use xtask::guest;
use xtask::qemu::Protection;

static BENCH: LazyLock<(Bench, WorkingSet)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(&guest::quick_image("kvstore").unwrap(), 2, directory.path()).unwrap();
    let set = bench.sample().unwrap();
    assert!(set.functions.len() > 20, "{set:?}");
    (bench, set)
});

fn run(group: Group, certain: Certain) -> Record {
    // A lost lock: what is done besides is what matters.
    let plan = Plan { writes_before: 40, writes_after: 60, ..Plan::new(Target::Guest, 1, 9) };
    BENCH.0.run(&plan, group, &BENCH.1, Some(certain)).unwrap()
}

#[test]
fn a_copy_to_the_wrong_device_is_stopped_and_without_protection_it_is_found() {
    for group in [Group::Pks, Group::Pku] {
        let record = run(group, Certain::CopyToCanary);
        assert_eq!(
            (record.outcome, record.ending),
            (Outcome::Stopped, Ending::Exited(exit::PROTECTION_FAULT)),
            "{record:#?}"
        );
        assert!(record.console[0].starts_with("holdfast: FAULT stray write of pmem1"), "{record:#?}");
        assert!(record.after.as_ref().unwrap().holds(), "{record:#?}");
    }
    let record = run(Group::None, Certain::CopyToCanary);
    assert_eq!((record.outcome, record.judgement.data()), (Outcome::OutsideGrant, Data::CanaryChanged), "{record:#?}");
}

#[test]
fn a_change_of_the_images_is_found_and_is_not_excused() {
    let record = run(Group::Pks, Certain::CanaryChanged);
    assert_eq!(record.outcome, Outcome::OutsideGrant, "{record:#?}");
    assert_eq!(record.judgement.canary.count, 1, "{record:#?}");
    let record = run(Group::None, Certain::RecordChanged);
    assert_eq!(record.outcome, Outcome::OutsideGrant, "{record:#?}");
    assert!(record.judgement.lost_acknowledged(), "{record:#?}");
}

#[test]
fn a_small_campaign_runs_goes_on_and_finds_nothing_outside_of_grants() {
    let (directory, image) = (tempfile::tempdir().unwrap(), guest::quick_image("kvstore").unwrap());
    let groups = vec![Group::Pks, Group::None];
    let stop = Arc::new(AtomicBool::new(true));
    let mut options = CampaignOptions {
        target: Target::Guest,
        seed: 1,
        count: 2,
        only: None,
        groups,
        smp: 1,
        jobs: 2,
        resume: false,
        stop,
    };
    let stopped = campaign::run(&image, &options, directory.path()).unwrap_err();
    assert!(stopped.to_string().contains("--resume"), "{stopped}");
    options = CampaignOptions { resume: true, stop: Arc::default(), ..options };
    assert_eq!(campaign::run(&image, &options, directory.path()).unwrap().records.len(), 4);
    options = CampaignOptions { count: 4, ..options };
    let runs = campaign::run(&image, &options, directory.path()).unwrap();
    assert_eq!(runs.records.len(), 8);
    let summary = Summary::new(&runs, Vec::new());
    assert!(summary.verdict.failures.is_empty(), "{:#?}", summary.verdict);
    assert!(runs.records.values().all(|record| record.writes[0] >= record.plan.writes_before), "{runs:#?}");
    assert!(runs.records.values().all(|record| !record.injected.is_empty()), "{runs:#?}");
}

#[test]
fn each_batch_of_commands_is_stored_in_one_window() {
    let [single, pipeline] = &windows::measure(Protection::Pks).unwrap()[..] else { panic!("two counts") };
    println!("{single}\n{pipeline}");
    assert_eq!(single.instructions.len(), 1);
    // More than one frame carries the pipeline, and the second may come when the first has been served.
    assert!((1..=2).contains(&pipeline.instructions.len()), "{pipeline}");
    // A window that is over at once, or in which the whole command was executed, was not what is counted.
    assert!((100..10_000).contains(&single.instructions[0]), "{single}");
    let all: u64 = pipeline.instructions.iter().sum();
    assert!((single.instructions[0] + 1..100_000).contains(&all), "{pipeline}");
}
