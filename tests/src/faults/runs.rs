//! The file of a campaign's finished runs, which can be interrupted and go on later.
//!
//! It has one line of JSON for each. Its first line says what they have in common; a campaign with another seed,
//! another image or another number of CPUs is not mixed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::places::WorkingSet;
use super::plan::Target;
use super::record::{Group, Record};

/// The file of finished runs, in the campaign's directory.
pub const RUNS: &str = "runs.jsonl";
/// The version of the file and of what the numbers in it mean.
pub const VERSION: u32 = 1;
/// What is asked for.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// What faults are injected into.
    pub target: Target,
    /// What everything random follows from.
    pub seed: u64,
    /// How many runs each group has.
    pub count: u64,
    /// Only this run.
    pub only: Option<u64>,
    /// The groups. Each gets the same faults.
    pub groups: Vec<Group>,
    /// CPUs of the guest, or of the machine that the process runs in.
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
    /// What faults were injected into.
    #[serde(default)]
    pub target: Target,
    /// The seed.
    pub seed: u64,
    /// CPUs of the guest, or of the machine that the process runs in.
    pub smp: u32,
    /// The checksum (CRC32C) of the guest image or of the program.
    pub image: u32,
    /// The functions in which faults are injected.
    pub working_set: WorkingSet,
}

impl Header {
    /// Of the campaign with these options, at an image or a program with this checksum.
    pub fn of(options: &CampaignOptions, image: u32, working_set: WorkingSet) -> Self {
        let CampaignOptions { target, seed, smp, .. } = *options;
        Self { version: VERSION, target, seed, smp, image, working_set }
    }
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
    /// None yet.
    pub fn begin(header: Header) -> Self {
        Self { header, records: BTreeMap::new() }
    }

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
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string(&self.header)?;
        for record in self.records.values() {
            text.push('\n');
            text.push_str(&serde_json::to_string(record)?);
        }
        text.push('\n');
        fs::write(path, text)
    }
}

/// What is known already of a campaign in `directory`, if anything is, and the checksum of its program or image.
pub(super) fn known(image: &Path, options: &CampaignOptions, directory: &Path) -> io::Result<(Option<Runs>, u32)> {
    fs::create_dir_all(directory)?;
    let (path, checksum) = (directory.join(RUNS), pmem::crc32c::crc32c(&fs::read(image)?));
    let known = path.exists().then(|| check_resumable(&path, options, checksum)).transpose()?;
    Ok((known, checksum))
}

/// The runs that are asked for.
pub(super) fn wanted(options: &CampaignOptions) -> BTreeSet<(u64, Group)> {
    let numbers = options.only.map_or(0..options.count, |only| only..only + 1);
    numbers.flat_map(|run| options.groups.iter().map(move |&group| (run, group))).collect()
}

/// Those of them that are not finished. A single run is repeated in any case.
pub(super) fn missing(options: &CampaignOptions, runs: &Runs) -> Vec<(u64, Group)> {
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
    let Header { target, seed, smp, image, .. } = known.header;
    let differs = if target != options.target {
        format!("was made {}", target.words())
    } else if seed != options.seed {
        format!("was made with --seed {seed}, not {}", options.seed)
    } else if smp != options.smp {
        format!("was made with --smp {smp}, not {}", options.smp)
    } else if image != checksum {
        "was made with another build of the store".to_owned()
    } else {
        return Ok(known);
    };
    Err(io::Error::other(format!("{name} {differs}; runs of both cannot be mixed: use another --output")))
}

#[cfg(test)]
mod tests;
