//! A campaign: many runs, several at a time, written down one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::places::WorkingSet;
use super::plan::{Plan, Target};
use super::record::{Group, Outcome, Record};
use super::run::Bench;
use super::runs::{CampaignOptions, Header, RUNS, Runs, known, missing, wanted};

/// How often a run is tried whose store does not get under load: that is not the fault's doing.
const ATTEMPTS: usize = 3;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(10);

/// What is said of a campaign that was told to stop.
pub(super) const INTERRUPTED: &str = "interrupted; what is finished is kept: go on by --resume";

/// Carries a campaign in guests out in `directory`, and returns all runs that are asked for.
///
/// # Errors
/// When there are runs there already that are not to be gone on with, or that are of another campaign; when the guest
/// cannot be run, or the files not written.
pub fn run(image: &Path, options: &CampaignOptions, directory: &Path) -> io::Result<Runs> {
    let (known, checksum) = known(image, options, directory)?;
    let bench = Bench::new(image, options.smp, directory)?;
    let runs = match known {
        Some(known) => known,
        None => {
            println!("looking for the functions that a store under load is in");
            let working_set = bench.sample()?;
            println!("{} functions", working_set.functions.len());
            Runs::begin(Header::of(options, checksum, working_set))
        }
    };
    let work = Work {
        target: options.target,
        seed: options.seed,
        jobs: options.jobs,
        missing: missing(options, &runs),
        working_set: runs.header.working_set.clone(),
    };
    let mut board = Board::new(runs, work.missing.len(), &directory.join(RUNS))?;
    let carry = |plan: &Plan, group, set: &WorkingSet| bench.run(plan, group, set, None);
    carry_out(&work, carry, &options.stop, |record| board.enter(record))?;
    Ok(board.finish(options))
}

/// Runs that are to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What everything random follows from.
    pub seed: u64,
    /// How many runs go on at once.
    pub jobs: usize,
    /// Which runs.
    pub missing: Vec<(u64, Group)>,
    /// Where they are.
    pub target: Target,
    /// The functions in which faults are injected.
    pub working_set: WorkingSet,
}

/// Carries runs out, several at once, and hands each to `enter` when it is finished.
///
/// # Errors
/// When it was told to `stop` before all were, or a run fails before its fault, or cannot be entered.
pub fn carry_out(
    work: &Work,
    run: impl Fn(&Plan, Group, &WorkingSet) -> io::Result<Record> + Sync,
    stop: &AtomicBool,
    enter: impl FnMut(Record) -> io::Result<()> + Send,
) -> io::Result<()> {
    struct Shared<E> {
        missing: Vec<(u64, Group)>,
        enter: E,
        failure: Option<io::Error>,
    }
    let missing = work.missing.iter().rev().copied().collect();
    let shared = Mutex::new(Shared { missing, enter, failure: None });
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let mut shared = lock();
        if stop.load(Ordering::SeqCst) && !shared.missing.is_empty() {
            shared.failure.get_or_insert(io::Error::other(INTERRUPTED));
        }
        if shared.failure.is_some() { None } else { shared.missing.pop() }
    };
    thread::scope(|scope| {
        for _ in 0..work.jobs.max(1) {
            scope.spawn(|| {
                while let Some((number, group)) = next() {
                    let plan = Plan::new(work.target, work.seed, number);
                    let result = attempt(|| run(&plan, group, &work.working_set));
                    let mut shared = lock();
                    if let Err(error) = result.and_then(|record| (shared.enter)(record)) {
                        shared.failure.get_or_insert(error);
                    }
                }
            });
        }
    });
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    shared.failure.map_or(Ok(()), Err)
}

/// Does what may fail where a computer is busy, some times at most.
pub(super) fn attempt<T>(run: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut result = run();
    for _ in 1..ATTEMPTS {
        if let Err(error) = &result {
            println!("once more: {error}");
            result = run();
        }
    }
    result
}

/// Where finished runs are entered: into the file, and what is shown of it.
#[derive(Debug)]
pub struct Board {
    runs: Runs,
    file: File,
    /// How many runs there are to be, and how many of these are finished.
    wanted: usize,
    finished: usize,
    began: Instant,
    shown: Instant,
}

impl Board {
    /// For so many more runs than are known. What was known is written anew, without a line that was not finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(runs: Runs, wanted: usize, path: &Path) -> io::Result<Self> {
        runs.write(path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let now = Instant::now();
        Ok(Self { runs, file, wanted, finished: 0, began: now, shown: now })
    }

    /// Enters a run that is finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn enter(&mut self, record: Record) -> io::Result<()> {
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.runs.records.insert((record.plan.run, record.group), record);
        self.finished += 1;
        if self.shown.elapsed() >= PROGRESS {
            self.shown = Instant::now();
            self.show();
        }
        Ok(())
    }

    /// All runs that were asked for.
    pub fn finish(mut self, options: &CampaignOptions) -> Runs {
        self.show();
        let wanted = wanted(options);
        self.runs.records.retain(|key, _| wanted.contains(key));
        self.runs
    }

    /// One line: how far it is, and what came of it until now.
    fn show(&self) {
        let left = self.wanted.saturating_sub(self.finished);
        let mut line = format!("{} runs finished", self.runs.records.len());
        if left > 0 && self.finished > 0 {
            let each = self.began.elapsed().as_secs_f64() / self.finished as f64;
            let _ = write!(line, ", {left} left, about {:.0} min", (each * left as f64 / 60.0).ceil());
        }
        for (group, outcomes) in counts(self.runs.records.values()) {
            let _ = write!(line, "; {}:", group.name());
            for outcome in Outcome::ALL {
                if let Some(count) = outcomes.get(&outcome) {
                    let _ = write!(line, " {count} {}", short(outcome));
                }
            }
        }
        println!("{line}");
    }
}

/// How often each outcome came about in each group.
pub fn counts<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<Group, BTreeMap<Outcome, u64>> {
    let mut counts: BTreeMap<Group, BTreeMap<Outcome, u64>> = BTreeMap::new();
    for record in records {
        *counts.entry(record.group).or_default().entry(record.outcome).or_default() += 1;
    }
    counts
}

fn short(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unaffected => "unaffected",
        Outcome::ClientErrors => "client errors",
        Outcome::Hung => "hung",
        Outcome::Crashed => "crashed",
        Outcome::Stopped => "stopped",
        Outcome::WrongBeforeStore => "wrong before",
        Outcome::InsideGrant => "inside grant",
        Outcome::Undecided => "undecided",
        Outcome::OutsideGrant => "OUTSIDE",
    }
}
