//! The campaign of `cargo xtask faults --native`, in small: on this computer without protection, and with it where
//! there are keys, or a kernel of Debian's to boot in QEMU.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_tests::faults::native::campaign::{self, Programs};
use holdfast_tests::faults::native::strays::Strays;
use holdfast_tests::faults::plan::{Kind, Plan, Target};
use holdfast_tests::faults::record::{Group, Outcome};
use holdfast_tests::faults::runs::{CampaignOptions, Runs};
use xtask::linux;

/// The programs beside the tests.
fn programs() -> Programs {
    let test = std::env::current_exe().unwrap();
    let beside = |name| test.ancestors().nth(2).unwrap().join(name);
    let (worker, store) = (beside("faults"), beside("kvstore"));
    assert!(store.is_file(), "there is no {}: `cargo build -p kvstore` makes it", store.display());
    Programs { worker, store }
}

fn options(groups: &[Group]) -> CampaignOptions {
    CampaignOptions {
        target: Target::Native,
        seed: 1,
        count: 2,
        only: None,
        groups: groups.to_vec(),
        smp: 2,
        jobs: 2,
        resume: true,
        stop: Arc::default(),
    }
}

/// What comes of this many directed strays in one group, after it was found to be what has to.
fn strays(group: Group, count: u64) -> Strays {
    let directory = tempfile::tempdir().unwrap();
    let options = CampaignOptions { count, ..options(&[group]) };
    let found = campaign::strays(&programs(), &options, directory.path()).unwrap();
    let [(of, strays)] = &found[..] else { panic!("{found:?}") };
    assert!(*of == group && strays.is_good(group), "{strays:?}");
    strays.clone()
}

/// Whether stores can be run under a key somewhere.
fn has_keys() -> bool {
    xtask::keys::are_here() || linux::kernel().inspect_err(|error| println!("skipped: {error:#}")).is_ok()
}

#[test]
fn without_protection_every_stray_is_stored() {
    assert_eq!(strays(Group::None, 500).stored, 500);
}

#[test]
#[ignore = "boots an emulator where there are no keys: cargo xtask test native"]
fn under_a_key_every_stray_is_denied() {
    if !has_keys() {
        return;
    }
    assert_eq!(strays(Group::Pku, 200).denied, 200);
}

#[test]
#[ignore = "boots an emulator where there are no keys: cargo xtask test native"]
fn under_a_key_a_wild_store_to_a_device_is_stopped() {
    if !has_keys() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [outcome] = wild_stores(&options(&[Group::Pku]), directory.path(), 1)[..] else { panic!("one run") };
    // That run's store goes to a device, as nearly all do; whether a grant of the pool's is open then, chance says.
    assert!(matches!(outcome, Outcome::Stopped | Outcome::InsideGrant), "{outcome:?}");
}

#[test]
fn a_campaign_that_was_interrupted_goes_on_and_its_control_group_loses_data() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[Group::None]);
    options.stop.store(true, Ordering::SeqCst);
    let stopped = campaign::run(&programs(), &options, directory.path()).unwrap_err();
    assert!(stopped.to_string().contains("--resume"), "{stopped}");
    options = CampaignOptions { stop: Arc::new(AtomicBool::new(false)), ..options };
    assert_eq!(campaign::run(&programs(), &options, directory.path()).unwrap().records.len(), 2);
    let wild = wild_stores(&options, directory.path(), 4);
    assert!(wild.contains(&Outcome::OutsideGrant), "{wild:?}");
}

/// What comes of the first runs of a campaign that are wild stores, of which most go to a device.
fn wild_stores(options: &CampaignOptions, directory: &Path, count: usize) -> Vec<Outcome> {
    let is_wild = |run: &u64| Plan::new(Target::Native, options.seed, *run).kind == Kind::WildStore;
    let outcomes = (0..).filter(is_wild).take(count).map(|run| {
        let options = CampaignOptions { only: Some(run), ..options.clone() };
        let Runs { records, .. } = campaign::run(&programs(), &options, directory).unwrap();
        let record = records.values().next().unwrap();
        assert!(record.writes[0] >= record.plan.writes_before && !record.injected.is_empty(), "{record:#?}");
        record.outcome
    });
    outcomes.collect()
}
