use super::*;
use crate::faults::judge::Findings;
use crate::faults::places::WorkingSet;
use crate::faults::plan::{Plan, Target};
use crate::faults::record::Ending;
use crate::faults::runs::Header;
use libos_contract::exit;

fn record(run: u64, group: Group, change: impl Fn(&mut Record)) -> Record {
    let mut record = Record {
        injected: vec!["<b> & a bit".into()],
        rip: 0x20_0000,
        after: Some(Default::default()).filter(|_| group.is_protected()),
        writes: [100, 500],
        seconds: 1.0,
        ..Record::new(&Plan::new(Target::Guest, 1, run), group)
    };
    change(&mut record);
    record.outcome = record.decide();
    record
}

fn runs(records: Vec<Record>) -> Runs {
    let header = Header {
        version: 1,
        target: Target::Guest,
        seed: 1,
        smp: 2,
        image: 0xabcd,
        working_set: WorkingSet::default(),
    };
    Runs { header, records: records.into_iter().map(|record| ((record.plan.run, record.group), record)).collect() }
}

fn found() -> Findings {
    Findings { count: 1, first: vec!["8 bytes at 0x1000".into()] }
}

fn decided(group: Group, change: impl Fn(&mut Record)) -> Outcome {
    record(0, group, change).outcome
}

#[test]
fn each_ending_is_an_outcome_of_its_own() {
    let ending = |ending| decided(Group::Pks, |record| record.ending = ending);
    assert_eq!(ending(Ending::Completed), Outcome::Unaffected);
    assert_eq!(ending(Ending::Exited(exit::PROTECTION_FAULT)), Outcome::Stopped);
    assert_eq!(ending(Ending::Exited(exit::PANIC)), Outcome::Crashed);
    assert_eq!(ending(Ending::Exited(0)), Outcome::Crashed);
    assert_eq!(ending(Ending::Lost), Outcome::Crashed);
    assert_eq!(ending(Ending::Killed { signal: 11, by_key: true }), Outcome::Stopped);
    assert_eq!(ending(Ending::Killed { signal: 6, by_key: false }), Outcome::Crashed);
    assert_eq!(ending(Ending::Hung), Outcome::Hung);
    assert_eq!(ending(Ending::Unfollowed), Outcome::Hung);
    assert_eq!(ending(Ending::Refused), Outcome::ClientErrors);
    let execution = |record: &mut Record| {
        record.ending = Ending::Exited(exit::PROTECTION_FAULT);
        record.console = vec!["holdfast: FAULT stray execution of pmem1 at offset 0x10".into()];
    };
    assert_eq!(decided(Group::None, execution), Outcome::Crashed, "that is not the keys' doing");
    assert_eq!(decided(Group::Pks, |record| record.complaints.push("wrong".into())), Outcome::ClientErrors);
}

#[test]
fn what_happened_to_the_data_counts_more_than_how_the_run_ended() {
    let overwritten = |record: &mut Record| {
        record.ending = Ending::Exited(exit::PROTECTION_FAULT);
        record.judgement.overwritten = found();
    };
    assert_eq!(decided(Group::Pks, overwritten), Outcome::InsideGrant);
    assert_eq!(decided(Group::None, overwritten), Outcome::OutsideGrant);
    let canary = |record: &mut Record| {
        overwritten(record);
        record.judgement.canary = found();
    };
    assert_eq!(decided(Group::Pks, canary), Outcome::OutsideGrant);
    assert_eq!(decided(Group::None, canary), Outcome::OutsideGrant);
    let unreadable = |record: &mut Record| record.judgement.unreadable = found();
    assert_eq!(decided(Group::None, unreadable), Outcome::InsideGrant, "the run may have stored it so itself");
    let wrong = |record: &mut Record| record.judgement.wrong = found();
    assert_eq!(decided(Group::Pks, wrong), Outcome::WrongBeforeStore);
}

#[test]
fn inside_a_grant_is_said_only_where_protection_is_known_to_have_held() {
    let unreadable = |record: &mut Record| record.judgement.unreadable = found();
    assert_eq!(decided(Group::Pku, unreadable), Outcome::InsideGrant);
    let gone = |record: &mut Record| {
        unreadable(record);
        record.after = None;
    };
    assert_eq!(decided(Group::Pks, gone), Outcome::Undecided);
    let broken = |record: &mut Record| {
        unreadable(record);
        record.after.as_mut().unwrap().broken.push("cpu 1: keys are off in CR4".into());
    };
    assert_eq!(decided(Group::Pks, broken), Outcome::Undecided);
    let aimed = |record: &mut Record| {
        unreadable(record);
        record.injected.push("the saved rights of a thread that does not run, at 0x1000:".into());
    };
    assert_eq!(decided(Group::Pks, aimed), Outcome::Undecided);
}

#[test]
fn protection_has_to_hold_and_the_control_group_has_to_lose() {
    let lost = |record: &mut Record| record.judgement.canary = found();
    let nothing = |_: &mut Record| {};
    let verdict = |pks: &dyn Fn(&mut Record), none: &dyn Fn(&mut Record)| {
        Summary::new(&runs(vec![record(0, Group::Pks, pks), record(0, Group::None, none)]), Vec::new()).verdict
    };
    assert!(verdict(&nothing, &lost).is_good());
    assert_eq!(verdict(&nothing, &nothing), Verdict { failures: vec![], control: Some(false) });
    assert!(!verdict(&nothing, &nothing).is_good());
    let bad = verdict(&lost, &lost);
    assert!(!bad.is_good() && bad.failures[0].contains("run 0 on pks"), "{bad:?}");
    let alone = Summary::new(&runs(vec![record(0, Group::Pks, nothing)]), Vec::new()).verdict;
    assert_eq!((alone.control, alone.is_good()), (None, true));
}

#[test]
fn the_page_shows_every_group_and_needs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let runs = runs(vec![
        record(0, Group::Pks, |record| record.ending = Ending::Exited(exit::PROTECTION_FAULT)),
        record(0, Group::None, |record| record.judgement.canary = found()),
        record(1, Group::Pks, |record| record.judgement.overwritten = found()),
        record(1, Group::None, |_| {}),
    ]);
    let windows = vec![Windows { commands: 1, value: 64, instructions: vec![1766] }];
    let summary = Summary::new(&runs, windows);
    summary.write(&runs, directory.path()).unwrap();
    let page = fs::read_to_string(directory.path().join(PAGE)).unwrap();
    for part in [
        "<svg ",
        "class=\"stopped\"",
        "class=\"outside\"",
        "class=\"inside\"",
        "prefers-color-scheme: dark",
        "1766 instructions",
        "--seed 1 --only",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("in none of 2 runs") && page.contains("in 1 of 2 runs"), "{page}");
    assert!(page.contains("&lt;b&gt; &amp; a bit") && !page.contains("<b> & a bit"));
    for foreign in ["http:", "https:", "<script", "<link", "<img"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let text = fs::read_to_string(directory.path().join(SUMMARY)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["outcomes"]["none"]["outside-grant"], 1);
    assert_eq!(value["by_kind"]["text"]["pks"]["stopped"], 1);
    assert_eq!(value["verdict"]["control"], true);
}
