//! A campaign: many runs, several at a time, written down one by one, so that it can be interrupted and go on later.
//!
//! The file of finished runs has one line of JSON for each. Its first line says what they have in common; a campaign
//! with another seed, another image or another number of CPUs is not mixed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::places::WorkingSet;
use super::plan::Plan;
use super::record::{Group, Outcome, Record};
use super::run::Bench;

/// The file of finished runs, in the campaign's directory.
pub const RUNS: &str = "runs.jsonl";
/// The version of the file and of what the numbers in it mean.
const VERSION: u32 = 1;
/// How often a run is tried whose store does not get under load: that is not the fault's doing.
const ATTEMPTS: usize = 3;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(10);

/// What is said of a campaign that was told to stop.
const INTERRUPTED: &str = "interrupted; what is finished is kept: go on by --resume";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// What everything random follows from.
    pub seed: u64,
    /// How many runs each group has.
    pub count: u64,
    /// Only this run.
    pub only: Option<u64>,
    /// The groups. Each gets the same faults.
    pub groups: Vec<Group>,
    /// CPUs of the guest.
    pub smp: u32,
    /// How many runs go on at once.
    pub jobs: usize,
    /// Whether to go on with what is there.
    pub resume: bool,
    /// Set when no further run is to begin. Those that are under way are finished, which takes some seconds.
    pub stop: Arc<AtomicBool>,
}

/// What the runs of a campaign have in common: the first line of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the file.
    pub version: u32,
    /// The seed.
    pub seed: u64,
    /// CPUs of the guest.
    pub smp: u32,
    /// The checksum (CRC32C) of the guest image.
    pub image: u32,
    /// The functions in which faults are injected.
    pub working_set: WorkingSet,
}

/// Finished runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// What they have in common.
    pub header: Header,
    /// The runs, by number and group.
    pub records: BTreeMap<(u64, Group), Record>,
}

impl Runs {
    /// Reads a file of finished runs. A last line that was not written to its end is left out.
    ///
    /// # Errors
    /// When it cannot be read, or is no such file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let name = path.display();
        let file = File::open(path).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        let mut lines = BufReader::new(file).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let header: Header = serde_json::from_str(&first)
            .map_err(|error| io::Error::other(format!("{name} is no file of finished runs: {error}")))?;
        if header.version != VERSION {
            let message = format!("{name} is of version {}, not {VERSION}; use another --output", header.version);
            return Err(io::Error::other(message));
        }
        let mut records = BTreeMap::new();
        for line in lines {
            match serde_json::from_str::<Record>(&line?) {
                Ok(record) => drop(records.insert((record.plan.run, record.group), record)),
                // The campaign was interrupted while it wrote; that run is repeated.
                Err(_) => break,
            }
        }
        Ok(Self { header, records })
    }

    /// Writes the file anew.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string(&self.header)?;
        for record in self.records.values() {
            text.push('\n');
            text.push_str(&serde_json::to_string(record)?);
        }
        text.push('\n');
        fs::write(path, text)
    }
}

/// Carries a campaign out in `directory`, and returns all runs that are asked for.
///
/// # Errors
/// When there are runs there already that are not to be gone on with, or that are of another campaign; when the guest
/// cannot be run, or the files not written.
pub fn run(image: &Path, options: &CampaignOptions, directory: &Path) -> io::Result<Runs> {
    fs::create_dir_all(directory)?;
    let path = directory.join(RUNS);
    let checksum = pmem::crc32c::crc32c(&fs::read(image)?);
    let known = if path.exists() { Some(check_resumable(&path, options, checksum)?) } else { None };
    let bench = Bench::new(image, options.smp, directory)?;
    let runs = match known {
        Some(known) => known,
        None => {
            println!("looking for the functions that a store under load is in");
            let working_set = bench.sample()?;
            println!("{} functions", working_set.functions.len());
            let header =
                Header { version: VERSION, seed: options.seed, smp: options.smp, image: checksum, working_set };
            Runs { header, records: BTreeMap::new() }
        }
    };
    // A line that was not finished is gone with this.
    runs.write(&path)?;
    let missing = missing(options, &runs);
    let mut runs = work(&bench, options, runs, missing, &path)?;
    let wanted = wanted(options);
    runs.records.retain(|key, _| wanted.contains(key));
    Ok(runs)
}

/// The runs that are asked for.
fn wanted(options: &CampaignOptions) -> BTreeSet<(u64, Group)> {
    let numbers = options.only.map_or(0..options.count, |only| only..only + 1);
    numbers.flat_map(|run| options.groups.iter().map(move |&group| (run, group))).collect()
}

/// Those of them that are not finished. A single run is repeated in any case.
fn missing(options: &CampaignOptions, runs: &Runs) -> Vec<(u64, Group)> {
    let is_missing = |key: &(u64, Group)| options.only.is_some() || !runs.records.contains_key(key);
    wanted(options).into_iter().filter(is_missing).collect()
}

/// Reads what is there, if it is to be gone on with and of the same campaign.
fn check_resumable(path: &Path, options: &CampaignOptions, checksum: u32) -> io::Result<Runs> {
    let name = path.display();
    if !options.resume && options.only.is_none() {
        let message = format!("{name} has finished runs; go on with them by --resume, or use another --output");
        return Err(io::Error::other(message));
    }
    let known = Runs::read(path)?;
    let Header { seed, smp, image, .. } = known.header;
    let differs = if seed != options.seed {
        format!("was made with --seed {seed}, not {}", options.seed)
    } else if smp != options.smp {
        format!("was made with --smp {smp}, not {}", options.smp)
    } else if image != checksum {
        "was made with another build of the guest".to_owned()
    } else {
        return Ok(known);
    };
    Err(io::Error::other(format!("{name} {differs}; runs of both cannot be mixed: use another --output")))
}

/// What the workers share.
struct Board {
    missing: Vec<(u64, Group)>,
    runs: Runs,
    file: File,
    began: Instant,
    shown: Instant,
    finished: usize,
    failure: Option<io::Error>,
}

fn work(
    bench: &Bench,
    options: &CampaignOptions,
    runs: Runs,
    mut missing: Vec<(u64, Group)>,
    path: &Path,
) -> io::Result<Runs> {
    missing.reverse();
    let file = OpenOptions::new().append(true).open(path)?;
    let now = Instant::now();
    let working_set = runs.header.working_set.clone();
    let board = Mutex::new(Board { missing, runs, file, began: now, shown: now, finished: 0, failure: None });
    let lock = || board.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = {
                        let mut board = lock();
                        if options.stop.load(Ordering::SeqCst) && !board.missing.is_empty() {
                            board.failure.get_or_insert(io::Error::other(INTERRUPTED));
                        }
                        if board.failure.is_some() { None } else { board.missing.pop() }
                    };
                    let Some((run, group)) = next else { return };
                    let result = attempt(bench, &Plan::new(options.seed, run), group, &working_set);
                    let mut board = lock();
                    if let Err(error) = result.and_then(|record| board.enter(record)) {
                        board.failure.get_or_insert(error);
                    }
                }
            });
        }
    });
    let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
    match board.failure {
        Some(error) => Err(error),
        None => {
            board.show();
            Ok(board.runs)
        }
    }
}

fn attempt(bench: &Bench, plan: &Plan, group: Group, set: &WorkingSet) -> io::Result<Record> {
    let mut result = bench.run(plan, group, set, None);
    for _ in 1..ATTEMPTS {
        if let Err(error) = &result {
            println!("once more: {error}");
            result = bench.run(plan, group, set, None);
        }
    }
    result
}

impl Board {
    fn enter(&mut self, record: Record) -> io::Result<()> {
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

    /// One line: how far it is, and what came of it until now.
    fn show(&self) {
        let left = self.missing.len();
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

#[cfg(test)]
mod tests;
