//! The program that makes the runs, beside the stores: on this computer, or in the machine. It gets an order in a file,
//! and says what comes of it by lines, each run's when it is finished.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::run::Bench;
use super::strays::{self, Strays};
use crate::faults::campaign::{Work, attempt, carry_out};
use crate::faults::places::WorkingSet;
use crate::faults::record::{Group, Record};

/// What a line begins with that is not for people.
const SAYS: &str = "faults: ";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The store's program.
    pub store: PathBuf,
    /// The runs. Where no functions are named, they are looked for first.
    pub work: Work,
    /// How many directed strays are made in each of these groups, instead of runs.
    pub strays: Option<(u64, Vec<Group>)>,
}

/// What the program says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The functions in which faults are injected: before the first run.
    Functions(WorkingSet),
    /// A run is finished.
    Run(Box<Record>),
    /// A group's strays are made.
    Strays(Group, Strays),
    /// It cannot go on.
    Failed(String),
}

impl Said {
    /// What a line says, if it is not for people.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn parse(line: &str) -> io::Result<Option<Self>> {
        let said = line.strip_prefix(SAYS).map(serde_json::from_str).transpose();
        said.map_err(|error| io::Error::other(format!("`{line}` cannot be read: {error}")))
    }

    fn say(&self) -> io::Result<()> {
        println!("{SAYS}{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// Does what the file says. Whether all of it was done.
///
/// # Errors
/// When there is nobody to say it to.
pub fn work(order: &Path) -> io::Result<bool> {
    match follow(order) {
        Ok(()) => Ok(true),
        Err(error) => Said::Failed(error.to_string()).say().map(|()| false),
    }
}

fn follow(order: &Path) -> io::Result<()> {
    let mut order: Order = serde_json::from_slice(&fs::read(order)?)?;
    let directory = tempfile::tempdir()?;
    let bench = Bench::new(&order.store, directory.path())?;
    // Who has ordered it kills it when it is not wanted any more.
    let stop = AtomicBool::new(false);
    if let Some((count, groups)) = order.strays {
        for group in groups {
            let strays = strays::run(&bench, group, order.work.seed, count, &stop).map_err(io::Error::other)?;
            Said::Strays(group, strays).say()?;
        }
        return Ok(());
    }
    if order.work.working_set.functions.is_empty() {
        order.work.working_set = attempt(|| bench.sample().map_err(io::Error::other))?;
    }
    Said::Functions(order.work.working_set.clone()).say()?;
    let run = |plan: &_, group, set: &_| bench.run(plan, group, set);
    carry_out(&order.work, run, &stop, |record| Said::Run(Box::new(record)).say())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_told_from_what_is_for_people() {
        let said = Said::Strays(Group::Pku, Strays { count: 3, ..Strays::default() });
        let line = format!("{SAYS}{}", serde_json::to_string(&said).unwrap());
        assert_eq!(Said::parse(&line).unwrap(), Some(said));
        assert_eq!(Said::parse("once more: run 3").unwrap(), None);
        assert!(Said::parse("faults: {").is_err(), "a line that has lost its end");
    }
}
