//! What requests may cost: figures that were recorded, and that a test holds the store to.
//!
//! They are taken with few keys and requests and on QEMU's user network, which takes no rights, so they are a little
//! higher than those of a longer run on a tap device.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::figures::Figure;
use super::load::Load;
use super::report::{Report, number};
use super::{Options, count};
use crate::qemu::{Network, Protection};
use crate::workspace;

/// The file with the budgets, a line for each.
const FILE: &str = "xtask/src/counts/budgets.txt";
const RECORDED: &str = include_str!("budgets.txt");
/// What the file begins with.
const HEAD: &str = "\
# What a request cost when this was last written down, by `cargo xtask bench counts --budgets record`. A lower number says
# that it has become cheaper; a higher one needs a reason, in the message of the commit that writes it.
";

/// The loads, and how many requests of each are counted.
const LOADS: [(Load, u64); 4] =
    [(Load::SetP16, 16_000), (Load::GetP16, 16_000), (Load::SetOne, 1_000), (Load::GetOne, 1_000)];
/// Instructions that even a small part may take more: what a turn or a frame costs is shared by more or fewer requests.
const SLACK: f64 = 15.0;
/// Keys in the store.
const KEYS: u64 = 10_000;

/// Something that has a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Subject {
    load: Load,
    figure: Figure,
    /// Of which components: those whose names begin so.
    part: &'static str,
    /// By how many parts of a hundred it may be exceeded.
    play: f64,
}

/// Everything that has a budget.
///
/// What the store and the pool do for a request hardly depends on when it comes. What the network and the scheduler do
/// does: how many requests one turn serves, and with one connection whether the guest has gone to sleep before the next
/// one. What is done with pmem is the same all the same.
fn subjects() -> Vec<Subject> {
    const PARTS: [(&str, f64); 4] = [("kvstore", 3.0), ("pmem", 3.0), ("libos: memory functions", 3.0), ("", 10.0)];
    const EVENTS: [Figure; 4] = [Figure::KeyWrites, Figure::FramesOut, Figure::Fences, Figure::WriteBacks];
    let mut subjects = Vec::new();
    for (load, _) in LOADS {
        subjects.extend(PARTS.map(|(part, play)| Subject { load, figure: Figure::Instructions, part, play }));
        let events = match (load.connections(), load.writes()) {
            (1, true) => &EVENTS[..],
            (1, false) => &EVENTS[..2],
            _ => &[],
        };
        subjects.extend(events.iter().map(|&figure| Subject { load, figure, part: "", play: 4.0 }));
    }
    subjects
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.load.name(), self.figure.name())?;
        if self.part.is_empty() { Ok(()) } else { write!(f, " of {}", self.part) }
    }
}

/// A subject's figure as it was recorded, and as it was counted now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Budget {
    subject: Subject,
    recorded: f64,
    counted: f64,
}

impl Budget {
    /// The most that it may be.
    fn limit(&self) -> f64 {
        let slack = if self.subject.figure == Figure::Instructions { SLACK } else { 0.0 };
        self.recorded * (1.0 + self.subject.play / 100.0) + slack
    }

    fn is_exceeded(&self) -> bool {
        self.counted > self.limit()
    }
}

/// All budgets, and what was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Budgets(Vec<Budget>);

impl Budgets {
    /// Counts the store of this image, and holds it against what was recorded.
    ///
    /// # Errors
    /// When the store does not do what it should, or something was never recorded.
    pub fn count(image: &Path) -> Result<Self> {
        Self::of(&Self::report(image)?, RECORDED)
    }

    /// Counts the store of this image, and records what was counted.
    ///
    /// # Errors
    /// When the store does not do what it should, or the file cannot be written.
    pub fn record(image: &Path) -> Result<Self> {
        let report = Self::report(image)?;
        let text = recording(&report)?;
        let file = workspace::root().join(FILE);
        std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        Self::of(&report, &text)
    }

    fn report(image: &Path) -> Result<Report> {
        let protection = Protection::Pks.into();
        count(image, &Options { loads: LOADS.into(), keys: KEYS, protection, network: Network::User })
    }

    /// What was counted beside what this text has recorded.
    fn of(report: &Report, recorded: &str) -> Result<Self> {
        let budget = |subject: Subject| {
            let line = recorded.lines().find_map(|line| line.strip_prefix(&format!("{subject} = ")));
            let recorded = line.and_then(|number| number.parse().ok()).with_context(|| {
                format!("{FILE} does not have `{subject}`; to record it: cargo xtask bench counts --budgets record")
            })?;
            Ok(Budget { subject, recorded, counted: counted(report, &subject)? })
        };
        Ok(Self(subjects().into_iter().map(budget).collect::<Result<_>>()?))
    }

    /// What costs more than it may.
    pub fn excesses(&self) -> Vec<String> {
        self.0.iter().filter(|budget| budget.is_exceeded()).map(|budget| budget.subject.to_string()).collect()
    }
}

fn counted(report: &Report, subject: &Subject) -> Result<f64> {
    let counted = report.each(subject.load, subject.part, subject.figure);
    counted.with_context(|| format!("`{subject}` was not counted"))
}

/// The text of the file.
fn recording(report: &Report) -> Result<String> {
    let mut text = HEAD.to_owned();
    for subject in subjects() {
        text.push_str(&format!("{subject} = {}\n", number(counted(report, &subject)?)));
    }
    Ok(text)
}

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:50} {:>9} {:>9} {:>9}", "a request", "counted", "record", "limit")?;
        for budget in &self.0 {
            let over = if budget.is_exceeded() { "  OVER" } else { "" };
            let [counted, recorded, limit] = [budget.counted, budget.recorded, budget.limit()].map(number);
            write!(f, "\n{:50} {counted:>9} {recorded:>9} {limit:>9}{over}", budget.subject.to_string())?;
        }
        Ok(())
    }
}

/// What is done with budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BudgetAction {
    /// Compare what is counted now; the status is 1 if something costs more than it may
    Check,
    /// Record what is counted now
    Record,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::figures::Figures;
    use super::super::tally::Tally;
    use super::*;

    /// A report in which every figure of every load is this number, all of it the store's.
    fn report(number: u64) -> Report {
        let options =
            Options { loads: Vec::new(), keys: KEYS, protection: Protection::Pks.into(), network: Network::User };
        let mut report = Report::new(&options);
        for (load, _) in LOADS {
            let mut total = Figures::default();
            Figure::ALL.into_iter().for_each(|figure| total[figure] = number);
            let components = BTreeMap::from([("kvstore: parser".to_owned(), total)]);
            report.add(load, 100, Tally { total, components, functions: BTreeMap::new() });
        }
        report
    }

    #[test]
    fn what_costs_more_than_its_play_is_named() {
        let recorded = recording(&report(200_000)).unwrap();
        for line in ["set-p16: instructions of kvstore = 2000", "get-one: instructions of pmem = 0"] {
            assert!(recorded.lines().any(|it| it == line), "{line}: {recorded}");
        }
        for (now, excesses) in [(100_000, 0), (207_000, 0), (208_000, 4), (209_000, 4 + 6), (222_000, 4 + 6 + 4)] {
            let budgets = Budgets::of(&report(now), &recorded).unwrap();
            assert_eq!(budgets.excesses().len(), excesses, "{budgets}");
            assert_eq!(budgets.to_string().matches("OVER").count(), excesses);
        }
        let budgets = Budgets::of(&report(208_000), &recorded).unwrap();
        assert!(budgets.excesses().contains(&"get-p16: instructions of kvstore".to_owned()), "{budgets}");
    }

    #[test]
    fn what_was_never_recorded_is_an_error() {
        let recorded = recording(&report(1)).unwrap().replace("set-one: fences", "set-one: tensions");
        let error = Budgets::of(&report(1), &recorded).unwrap_err().to_string();
        assert!(error.contains("`set-one: fences`"), "{error}");
    }

    #[test]
    fn the_file_has_everything_that_has_a_budget_and_nothing_else() {
        Budgets::of(&report(1), RECORDED).unwrap();
        let lines = RECORDED.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines, subjects().len());
    }
}
