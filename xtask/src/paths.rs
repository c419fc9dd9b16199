//! `cargo xtask bench paths`: how many instructions the library's hot paths take, each held to what it took before.
//!
//! QEMU counts, so the numbers are the same on every run, and on every computer with the same compiler. They tell
//! nothing of how long an instruction takes: a write of a protection-key register is one.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::guest::{self, Profile};
use crate::image::{ALIGNMENT, PmemImage};
use crate::qemu::{Exit, GuestTime, Machine, MachineOptions, Network, Protection};
use crate::setup::{self, toolchain::Choice};
use crate::size::MIB;

/// The guest program that takes the paths, and its package.
const PROGRAM: &str = "paths";
const PACKAGE: &str = "test-programs";
/// How long it may take for all of them.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the program prints in front of a path's name and its count.
const PREFIX: &str = "path ";

/// Each path, and how many instructions it took when this was last written down. Lower a number when the path has
/// become shorter; a higher one needs a reason, in the message of the commit that writes it.
const RECORD: [(&str, u64); 6] = [
    ("section", 45),
    ("grant", 211),
    ("section and grant", 259),
    ("trap", 135),
    ("trap in a grant", 155),
    ("two switches", 561),
];

/// The most instructions for a path with this record. The play is for code around it that the compiler lays out anew.
const fn limit(record: u64) -> u64 {
    record + record.div_ceil(25)
}

/// How many instructions each path takes, in the order of [`RECORD`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; RECORD.len()]);

/// Builds the program and counts.
///
/// # Errors
/// When something is missing, or the machine does not do what it should.
pub fn measure(choice: Choice) -> Result<Counts> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    count(&guest::build(&toolchain, &[PACKAGE], Profile::Quick)?.join(PROGRAM))
}

/// Counts by the program of this image.
///
/// # Errors
/// When the machine does not do what it should.
pub fn count(image: &Path) -> Result<Counts> {
    let directory = tempfile::Builder::new().prefix("holdfast-paths-").tempdir()?;
    let pmem = directory.path().join("pmem0.img");
    File::create(&pmem)?.set_len(ALIGNMENT)?;
    let options = MachineOptions {
        image: image.to_owned(),
        name: PROGRAM.to_owned(),
        pmem: vec![PmemImage::open(&pmem, None)?],
        memory: 64 * MIB,
        network: Network::None,
        protection: Protection::Pks.into(),
        time: GuestTime::Instructions,
        ..MachineOptions::default()
    };
    let machine = Machine::start(options, None)?;
    let exit = machine.wait(PATIENCE);
    let lines = machine.console().lines();
    if exit != Some(Exit::Guest(0)) {
        bail!("the machine did not count to the end; it said:\n{}", lines.join("\n"));
    }
    parse(&lines)
}

/// Reads the lines of the program, which has one for each path.
fn parse(lines: &[String]) -> Result<Counts> {
    let mut counts = [0; RECORD.len()];
    for (count, (name, _)) in counts.iter_mut().zip(RECORD) {
        let line = format!("{PREFIX}{name}: ");
        let found = lines.iter().find_map(|said| said.strip_prefix(&line)?.parse().ok());
        *count = found.with_context(|| format!("the program did not count the path `{name}`"))?;
    }
    Ok(Counts(counts))
}

impl Counts {
    /// The paths that take more than they may.
    pub fn excesses(&self) -> Vec<&'static str> {
        self.rows().filter(|&(_, count, record)| count > limit(record)).map(|(name, ..)| name).collect()
    }

    /// Each path's name, its count and its record.
    fn rows(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.0.iter().zip(RECORD).map(|(&count, (name, record))| (name, count, record))
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let row = |(name, count, record)| json!({ "name": name, "instructions": count, "limit": limit(record) });
        json!({ "paths": self.rows().map(row).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20} {:>12} {:>8} {:>8}", "instructions of", "counted", "record", "limit")?;
        for (name, count, record) in self.rows() {
            let over = if count > limit(record) { "  OVER" } else { "" };
            write!(f, "\n{name:20} {count:12} {record:8} {:8}{over}", limit(record))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<String> {
        counts.map(|(name, count)| format!("path {name}: {count}")).collect()
    }

    #[test]
    fn a_path_that_has_grown_is_named() {
        let at_the_limit = RECORD.map(|(name, record)| (name, limit(record)));
        assert_eq!(parse(&lines(at_the_limit.into_iter())).unwrap().excesses(), [""; 0]);
        let mut grown = at_the_limit;
        grown[3].1 += 1;
        let counts = parse(&lines(grown.into_iter())).unwrap();
        assert_eq!(counts.excesses(), ["trap"]);
        assert!(counts.to_string().lines().any(|line| line.starts_with("trap ") && line.ends_with("OVER")));
    }

    #[test]
    fn a_path_that_was_not_counted_is_an_error() {
        let error = parse(&lines(RECORD.into_iter().skip(1))).unwrap_err();
        assert_eq!(error.to_string(), "the program did not count the path `section`");
    }
}
