//! The report of a campaign: a page for people, a file for machines, and the verdict.

mod chart;
mod page;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::campaign::counts;
use super::plan::{Kind, Target};
use super::record::{Group, Outcome, Record};
use super::runs::Runs;
use super::windows::Windows;

/// The page, in the campaign's directory.
pub const PAGE: &str = "report.html";
/// The file for machines.
pub const SUMMARY: &str = "report.json";

/// How often each outcome came about.
pub type Counts = BTreeMap<Outcome, u64>;

/// What a campaign came to: the file for machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What faults were injected into.
    pub target: Target,
    /// The seed.
    pub seed: u64,
    /// CPUs of the guest.
    pub smp: u32,
    /// The checksum of the guest image.
    pub image: String,
    /// Runs of each group.
    pub runs: BTreeMap<Group, u64>,
    /// Outcomes of each group.
    pub outcomes: BTreeMap<Group, Counts>,
    /// Outcomes of each group by the kind of fault.
    pub by_kind: BTreeMap<Kind, BTreeMap<Group, Counts>>,
    /// Runs in which an acknowledged write was lost or altered, whatever did it.
    pub lost_acknowledged: BTreeMap<Group, u64>,
    /// Runs in which the device that nobody has a grant for was changed.
    pub canary_changed: BTreeMap<Group, u64>,
    /// Runs in which persistent memory could be written to, by the rights of its CPU, when the fault was injected.
    pub injected_in_window: BTreeMap<Group, u64>,
    /// Runs in which nothing could be injected.
    pub not_injected: BTreeMap<Group, u64>,
    /// Instructions executed while persistent memory can be written to.
    pub windows: Vec<Windows>,
    /// What the campaign has shown.
    pub verdict: Verdict,
}

/// What a campaign has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What speaks against protection: runs of a protected group with a store outside of open grants, or with one of
    /// which that is not known.
    pub failures: Vec<String>,
    /// Whether there was a control group, and it lost or altered data, which shows that there was something to protect
    /// from.
    pub control: Option<bool>,
}

impl Verdict {
    /// Whether protection held, and the control group shows that this means something.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.control != Some(false)
    }
}

impl Summary {
    /// Of finished runs.
    pub fn new(runs: &Runs, windows: Vec<Windows>) -> Self {
        let records = || runs.records.values();
        let number = |wanted: &dyn Fn(&Record) -> bool| -> BTreeMap<Group, u64> {
            let mut numbers: BTreeMap<Group, u64> = records().map(|record| (record.group, 0)).collect();
            for record in records().filter(|record| wanted(record)) {
                *numbers.entry(record.group).or_default() += 1;
            }
            numbers
        };
        let by_kind = Kind::ALL.iter().map(|&kind| (kind, counts(records().filter(|record| record.plan.kind == kind))));
        Self {
            target: runs.header.target,
            seed: runs.header.seed,
            smp: runs.header.smp,
            image: format!("{:08x}", runs.header.image),
            runs: number(&|_| true),
            outcomes: counts(records()),
            by_kind: by_kind.filter(|(_, groups)| !groups.is_empty()).collect(),
            lost_acknowledged: number(&|record| record.judgement.lost_acknowledged()),
            canary_changed: number(&|record| record.judgement.canary.count > 0),
            injected_in_window: number(&|record| record.was_writable()),
            not_injected: number(&|record| record.injected.is_empty()),
            windows,
            verdict: verdict(records()),
        }
    }

    /// Writes both files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, runs: &Runs, directory: &Path) -> io::Result<()> {
        fs::write(directory.join(PAGE), page::page(self, runs))?;
        fs::write(directory.join(SUMMARY), serde_json::to_string_pretty(self)? + "\n")
    }

    /// The summary for a terminal.
    pub fn print(&self) {
        for (group, counts) in &self.outcomes {
            println!("\n{}, {} runs:", group.name(), self.runs[group]);
            for outcome in Outcome::ALL {
                println!("{:>7}  {}", counts.get(&outcome).unwrap_or(&0), outcome.label());
            }
            println!("{:>7}  runs lost or altered something acknowledged", self.lost_acknowledged[group]);
        }
        println!();
        self.windows.iter().for_each(|windows| println!("{windows}"));
        self.verdict.failures.iter().for_each(|failure| println!("error: {failure}"));
        match self.verdict.control {
            Some(true) => println!("without protection the same faults overwrote persistent memory"),
            Some(false) => println!("error: the control group lost nothing, so this says nothing; use more runs"),
            None => println!("there was no control group (--protection none), so this says little"),
        }
    }
}

fn verdict<'a>(records: impl Iterator<Item = &'a Record>) -> Verdict {
    let mut verdict = Verdict { failures: Vec::new(), control: None };
    for record in records {
        let broken = matches!(record.outcome, Outcome::OutsideGrant | Outcome::Undecided);
        if !record.group.is_protected() {
            verdict.control = Some(verdict.control.unwrap_or(false) | broken);
        } else if broken {
            let (group, run, kind) = (record.group.name(), record.plan.run, record.plan.kind);
            verdict.failures.push(format!("run {run} on {group} ({kind}): {}", record.outcome.label()));
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
