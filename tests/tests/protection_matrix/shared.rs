//! Cases that share a machine. The first of them that is asked for boots it, with all of its cases; the others read
//! their lines. Failed cases do not end a machine, and a machine that ends all the same fails those that come after.

use std::fs::File;
use std::sync::{Arc, OnceLock};

use holdfast_tests::machine::{CPUS, Outcome, machine, run};
use libtest_mimic::Trial;
use tempfile::TempDir;
use xtask::image::PmemImage;
use xtask::qemu::{MachineOptions, Protection};
use xtask::size::{GIB, MIB};

use crate::cases::{ON_CPUS, SHARED};
use crate::{alone, sweep, trial};

/// How many NVDIMMs every machine has: one for each key that can be given.
const DEVICES: usize = 15;

/// A machine for the program `keys` with these cases, and the directory that its images go away with. The first device
/// is large enough for a leaf of 1 GiB.
pub(crate) fn keys(backend: Protection, cases: &[&str]) -> (MachineOptions, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut options = machine("keys", cases);
    options.protection = backend.into();
    let image = |index| {
        let path = directory.path().join(format!("pmem{index}.img"));
        File::create_new(&path).unwrap().set_len(if index == 0 { GIB } else { 16 * MIB }).unwrap();
        PmemImage::open(&path, None).unwrap()
    };
    options.pmem.extend((0..DEVICES).map(image));
    (options, directory)
}

/// A machine, booted when the first case asks for its end.
struct Shared {
    backend: Protection,
    cpus: u32,
    cases: &'static [&'static str],
    outcome: OnceLock<Outcome>,
}

impl Shared {
    fn new(backend: Protection, cpus: u32, cases: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self { backend, cpus, cases, outcome: OnceLock::new() })
    }

    fn outcome(&self) -> &Outcome {
        self.outcome.get_or_init(|| {
            let arguments: Vec<&str> = self.cases.iter().copied().chain(["list"]).collect();
            let (mut options, _images) = keys(self.backend, &arguments);
            options.smp = self.cpus;
            run(options)
        })
    }

    /// What the guest said of a case.
    fn verdict(&self, case: &str) -> Result<(), String> {
        verdict(self.outcome(), case)
    }

    /// The guest's cases and the host's are the same.
    fn compare_lists(&self) -> Result<(), String> {
        let mut theirs: Vec<&str> = self.outcome().lines().filter_map(|line| line.strip_prefix("case ")).collect();
        let mut ours: Vec<&str> = [SHARED, ON_CPUS]
            .into_iter()
            .flatten()
            .copied()
            .chain(alone::names())
            .chain(sweep::CASES.iter().copied())
            .collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        ours.dedup();
        let differs = |name: &&&str| !(theirs.contains(*name) && ours.contains(*name));
        let different: Vec<_> = theirs.iter().chain(&ours).filter(differs).collect();
        if different.is_empty() { Ok(()) } else { Err(format!("only one of guest and host has {different:?}")) }
    }
}

/// What the guest said of a case.
pub(crate) fn verdict(outcome: &Outcome, case: &str) -> Result<(), String> {
    let failed = format!("FAILED {case}: ");
    for line in outcome.lines() {
        if line.strip_prefix("ok ") == Some(case) {
            return Ok(());
        }
        if let Some(why) = line.strip_prefix(&failed) {
            return Err(why.to_owned());
        }
    }
    Err(format!("the machine ended before it said anything of it:\n{outcome}"))
}

/// The tests of all shared machines.
pub(crate) fn trials(backend: Protection) -> Vec<Trial> {
    let mut trials = Vec::new();
    let shared = Shared::new(backend, 1, SHARED);
    for case in SHARED {
        let shared = shared.clone();
        trials.push(trial(format!("{}::{case}", backend.word()), move || shared.verdict(case)));
    }
    trials
        .push(trial(format!("{}::guest_and_host_list_the_same_cases", backend.word()), move || shared.compare_lists()));
    for cpus in CPUS {
        let shared = Shared::new(backend, cpus, ON_CPUS);
        for case in ON_CPUS {
            let shared = shared.clone();
            trials.push(trial(format!("{}::{case}::smp_{cpus}", backend.word()), move || shared.verdict(case)));
        }
    }
    trials
}
