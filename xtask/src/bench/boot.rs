//! `cargo xtask bench boot`: how long the store takes from the machine's reset until it is ready, stage by stage, on an
//! empty image and on a pool that was shut down.
//!
//! The times are the guest's own, from the line that it prints when it is ready. Other work on the computer changes
//! them, so contenders take turns, and each figure is a median.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::statistics::Spread;
use crate::guest::{self, Profile};
use crate::image::PmemImage;
use crate::qemu::{Exit, Firmware, Machine, MachineOptions};
use crate::setup::{self, toolchain::Choice};
use crate::size::GIB;
use crate::stripped;

/// How the guest begins the line that tells its stages.
const READY: &str = "holdfast: ready after ";
/// The stage that is all of them.
const ALL: &str = "all";
/// How long a machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is booted on.
const POOLS: [&str; 2] = ["empty image", "pool shut down"];

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Boots of each image on each kind of pool.
    pub boots: u32,
    /// Another image of the store, to take turns with this one.
    pub against: Option<PathBuf>,
    /// Whether the other one is booted by the firmware that QEMU takes if nothing else is said.
    pub usual_firmware: bool,
    /// RAM in bytes.
    pub memory: u64,
}

/// The stages of all boots in milliseconds, of each image on each kind of pool.
#[derive(Debug)]
pub struct Report {
    stages: Vec<String>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    times: BTreeMap<String, Vec<f64>>,
}

impl Column {
    fn spread(&self, stage: &str) -> Option<Spread> {
        Spread::of(self.times.get(stage)?.iter().copied())
    }
}

/// Measures.
///
/// # Errors
/// When something is missing, or a store does not get ready or does not stop.
pub fn measure(options: &Options, choice: Choice) -> Result<Report> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let image = stripped::make(&guest::build(&toolchain, &["kvstore"], Profile::Release)?.join("kvstore"))?;
    let mut images = vec![("this one".to_owned(), image, Firmware::default())];
    if let Some(other) = &options.against {
        let firmware = if options.usual_firmware { Firmware::Usual } else { Firmware::default() };
        images.push((other.display().to_string(), other.clone(), firmware));
    }
    let mut report = Report { stages: Vec::new(), columns: Vec::new() };
    for pool in POOLS {
        let names = images.iter().map(|(name, ..)| format!("{name}, {pool}"));
        report.columns.extend(names.map(|name| Column { name, times: BTreeMap::new() }));
    }
    for _ in 0..options.boots {
        for (number, (_, image, firmware)) in images.iter().enumerate() {
            let directory = tempfile::Builder::new().prefix("holdfast-boot-").tempdir()?;
            let file = directory.path().join("pmem0.img");
            for pool in 0..POOLS.len() {
                let line = boot(image, *firmware, &file, options.memory)?;
                report.add(pool * images.len() + number, &line)?;
            }
        }
    }
    Ok(report)
}

/// Boots this image on this file, which becomes an image of a gibibyte if it is not there, until the store is ready;
/// what it says of that. Then it is shut down.
fn boot(image: &Path, firmware: Firmware, file: &Path, memory: u64) -> Result<String> {
    let machine = MachineOptions {
        image: image.to_path_buf(),
        name: "kvstore".to_owned(),
        memory,
        firmware,
        pmem: vec![PmemImage::open(file, Some(GIB))?],
        ..MachineOptions::default()
    };
    let machine = Machine::start(machine, None)?;
    let ready = |line: &str| line.strip_prefix(READY).map(str::to_owned);
    let Some(line) = machine.console().wait_for_line(PATIENCE, ready) else {
        bail!("the store does not get ready:\n{}", machine.console().lines().join("\n"));
    };
    machine.press_power_button()?;
    let end = machine.wait(PATIENCE);
    ensure!(end == Some(Exit::Guest(0)), "the store does not stop:\n{}", machine.console().lines().join("\n"));
    Ok(line)
}

/// Reads `412.3 ms: firmware 95.1, …, ready 3.1 (IPv4 address at 300.0)`: the whole, and each stage.
fn parse(line: &str) -> Option<Vec<(&str, f64)>> {
    let (all, rest) = line.split_once(" ms: ")?;
    let stages = rest.split_once(" (").map_or(rest, |(stages, _)| stages);
    let stages = stages.split(", ").map(|stage| stage.rsplit_once(' '));
    let times =
        stages.chain([Some((ALL, all))]).map(|stage| stage.and_then(|(name, time)| Some((name, time.parse().ok()?))));
    times.collect()
}

impl Report {
    fn add(&mut self, column: usize, line: &str) -> Result<()> {
        for (stage, time) in parse(line).with_context(|| format!("`{line}` tells no stages"))? {
            if !self.stages.iter().any(|known| known == stage) {
                self.stages.push(stage.to_owned());
            }
            self.columns[column].times.entry(stage.to_owned()).or_default().push(time);
        }
        Ok(())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let column = |column: &Column| {
            let stage = |stage: &String| Some(json!({ "stage": stage, "ms": column.spread(stage)?.to_json() }));
            json!({ "name": column.name, "stages": self.stages.iter().filter_map(stage).collect::<Vec<_>>() })
        };
        json!({ "boots": self.columns.iter().map(column).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| ms, median (least to most) |")?;
        self.columns.iter().try_for_each(|column| write!(f, " {} |", column.name))?;
        write!(f, "\n|---|{}", "---|".repeat(self.columns.len()))?;
        for stage in &self.stages {
            write!(f, "\n| {stage} |")?;
            for column in &self.columns {
                match column.spread(stage) {
                    Some(Spread { least, median, most }) => write!(f, " **{median:.1}** ({least:.1} to {most:.1}) |")?,
                    None => write!(f, " |")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_and_the_whole_are_read_from_the_line_and_not_what_goes_on_beside_them() {
        let line = "412.3 ms: firmware 95.1, memory 12.0, ready 3.1 (IPv4 address at 300.0)";
        let found = parse(line).unwrap();
        assert_eq!(found, [("firmware", 95.1), ("memory", 12.0), ("ready", 3.1), (ALL, 412.3)]);
        assert_eq!(parse("412.3 ms: all 412.3").unwrap().len(), 2);
        assert!(parse("soon").is_none() && parse("1.0 ms: firmware long").is_none());
    }

    #[test]
    fn each_stage_has_its_median_in_each_column() {
        let column = |name: &str| Column { name: name.into(), times: BTreeMap::new() };
        let mut report = Report { stages: Vec::new(), columns: vec![column("one"), column("two")] };
        for line in
            ["3.0 ms: firmware 1.0, ready 2.0", "9.0 ms: firmware 4.0, ready 5.0", "3.2 ms: firmware 1.2, ready 2.0"]
        {
            report.add(0, line).unwrap();
        }
        report.add(1, "2.0 ms: firmware 2.0").unwrap();
        let text = report.to_string();
        assert!(text.contains("| firmware | **1.2** (1.0 to 4.0) | **2.0** (2.0 to 2.0) |\n"), "{text}");
        assert!(text.contains("| ready | **2.0** (2.0 to 5.0) | |\n") && text.ends_with("(2.0 to 2.0) |"), "{text}");
        assert!(report.add(0, "nonsense").is_err());
    }
}
