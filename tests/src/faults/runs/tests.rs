use super::*;
use crate::faults::plan::Plan;
use crate::faults::record::{Ending, Outcome};
use libos_contract::exit;

fn options(seed: u64, resume: bool) -> CampaignOptions {
    CampaignOptions {
        target: Target::Guest,
        seed,
        count: 3,
        only: None,
        groups: vec![Group::Pks, Group::None],
        smp: 2,
        jobs: 1,
        resume,
        stop: Arc::default(),
    }
}

fn record(run: u64, group: Group) -> Record {
    Record {
        injected: vec!["a bit".into()],
        writes: [1, 2],
        ending: Ending::Exited(exit::PANIC),
        complaints: vec!["ü".into()],
        outcome: Outcome::Crashed,
        ..Record::new(&Plan::new(Target::Guest, 1, run), group)
    }
}

fn header() -> Header {
    Header {
        version: VERSION,
        target: Target::Guest,
        seed: 1,
        smp: 2,
        image: 7,
        working_set: WorkingSet { functions: vec![1, 2] },
    }
}

fn saved(directory: &Path) -> std::path::PathBuf {
    let path = directory.join(RUNS);
    let records = [(0, Group::Pks), (0, Group::None), (1, Group::Pks)];
    let records = records.into_iter().map(|(run, group)| ((run, group), record(run, group))).collect();
    Runs { header: header(), records }.write(&path).unwrap();
    path
}

#[test]
fn finished_runs_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let runs = Runs::read(&saved(directory.path())).unwrap();
    assert_eq!(runs.header, header());
    assert_eq!(runs.records.len(), 3);
    assert_eq!(runs.records[&(1, Group::Pks)], record(1, Group::Pks));
}

#[test]
fn a_line_that_was_not_finished_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = saved(directory.path());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 30]).unwrap();
    assert_eq!(Runs::read(&path).unwrap().records.len(), 2);
}

#[test]
fn only_the_same_campaign_is_gone_on_with_and_only_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = saved(directory.path());
    let refusal = |options: &CampaignOptions, image| check_resumable(&path, options, image).unwrap_err().to_string();
    assert_eq!(check_resumable(&path, &options(1, true), 7).unwrap().records.len(), 3);
    assert!(refusal(&options(1, false), 7).contains("--resume"));
    assert!(refusal(&options(2, true), 7).contains("--seed 1, not 2"));
    assert!(refusal(&options(1, true), 8).contains("another build"));
    let native = CampaignOptions { target: Target::Native, ..options(1, true) };
    assert!(refusal(&native, 7).contains("in guests"));
    assert!(refusal(&CampaignOptions { smp: 4, ..options(1, true) }, 7).contains("--smp 2, not 4"));
    // A single run is repeated without touching the others.
    assert!(check_resumable(&path, &CampaignOptions { only: Some(9), ..options(1, false) }, 7).is_ok());
    fs::write(&path, "hello\n").unwrap();
    assert!(refusal(&options(1, true), 7).contains("no file of finished runs"));
}

#[test]
fn what_is_finished_is_not_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let runs = Runs::read(&saved(directory.path())).unwrap();
    assert_eq!(missing(&options(1, true), &runs), [(1, Group::None), (2, Group::Pks), (2, Group::None)]);
    let only = CampaignOptions { only: Some(1), ..options(1, false) };
    assert_eq!(missing(&only, &runs), [(1, Group::Pks), (1, Group::None)], "a run that is asked for is repeated");
}
