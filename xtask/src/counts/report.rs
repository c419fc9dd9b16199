//! What was counted, a request, for people as Markdown and for programs as JSON, and beside an earlier report.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::Options;
use super::figures::{Figure, Figures};
use super::load::{Load, VALUE};
use super::tally::Tally;
use crate::tables::{Table, change, read_report};

/// Functions that a table shows of each load.
const TOP: usize = 40;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was counted with: names and values.
    configuration: Vec<(&'static str, String)>,
    loads: Vec<Counted>,
}

/// What was counted of a load.
#[derive(Clone, Debug, PartialEq)]
struct Counted {
    load: Load,
    requests: u64,
    tally: Tally,
}

impl Counted {
    fn each(&self, count: u64) -> f64 {
        count as f64 / self.requests as f64
    }
}

impl Report {
    /// One without figures yet.
    pub(super) fn new(options: &Options) -> Self {
        let configuration = vec![
            ("machine", "QEMU's TCG, one processor, two nanoseconds an instruction".to_owned()),
            ("protection", options.protection.to_string()),
            ("network", options.network.to_string()),
            ("keys", options.keys.to_string()),
            ("bytes of a value", VALUE.to_string()),
        ];
        Self { configuration, loads: Vec::new() }
    }

    pub(super) fn add(&mut self, load: Load, requests: u64, tally: Tally) {
        self.loads.push(Counted { load, requests, tally });
    }

    /// A figure of a load, a request: of the components whose names begin with `part`, or of all that was executed.
    pub fn each(&self, load: Load, part: &str, figure: Figure) -> Option<f64> {
        let counted = self.loads.iter().find(|counted| counted.load == load)?;
        let components = counted.tally.components.iter().filter(|(name, _)| name.starts_with(part));
        Some(counted.each(match part {
            // Not all is some component's: frames are the card's.
            "" => counted.tally.total[figure],
            _ => components.map(|(_, figures)| figures[figure]).sum(),
        }))
    }

    /// For programs: everything, a request.
    pub fn to_json(&self) -> Value {
        let configuration: serde_json::Map<_, _> =
            self.configuration.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let loads: serde_json::Map<_, _> =
            self.loads.iter().map(|counted| (counted.load.name().to_owned(), load_json(counted))).collect();
        json!({ "configuration": configuration, "loads": loads })
    }

    /// The instructions and calls of components and functions, load by load.
    pub fn details(&self) -> String {
        self.loads.iter().map(details).collect()
    }
}

fn load_json(counted: &Counted) -> Value {
    let figures = |figures: &Figures| -> Value {
        let named = |figure: Figure| (figure.name().to_owned(), json!(counted.each(figures[figure])));
        Figure::ALL
            .into_iter()
            .filter(|&figure| figures[figure] > 0)
            .map(named)
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let parts = |parts: &BTreeMap<String, Figures>| -> Value {
        parts.iter().map(|(name, its)| (name.clone(), figures(its))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "requests": counted.requests,
        "total": figures(&counted.tally.total),
        "components": parts(&counted.tally.components),
        "functions": parts(&counted.tally.functions),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.configuration {
            writeln!(f, "- {name}: {value}")?;
        }
        let loads = || self.loads.iter().map(|counted| counted.load.name().to_owned());
        let mut table = Table::new("a request", loads());
        for figure in Figure::ALL {
            table
                .row(figure.name(), self.loads.iter().map(|counted| number(counted.each(counted.tally.total[figure]))));
        }
        let requests = self.loads.iter().map(|counted| counted.requests.to_string());
        table.row("requests", requests);
        write!(f, "\n{table}\n")?;
        let mut table = Table::new("instructions of", loads());
        for name in self.components() {
            let of = |counted: &Counted| {
                let figures = counted.tally.components.get(name).copied().unwrap_or_default();
                number(counted.each(figures[Figure::Instructions]))
            };
            table.row(name, self.loads.iter().map(of));
        }
        write!(f, "{table}")
    }
}

impl Report {
    /// The components, those first that cost most in all loads together.
    fn components(&self) -> Vec<&str> {
        let mut costs: BTreeMap<&str, f64> = BTreeMap::new();
        for counted in &self.loads {
            for (name, figures) in &counted.tally.components {
                *costs.entry(name).or_default() += counted.each(figures[Figure::Instructions]);
            }
        }
        let mut costs: Vec<_> = costs.into_iter().collect();
        costs.sort_by(|one, other| other.1.total_cmp(&one.1));
        costs.into_iter().map(|(name, _)| name).collect()
    }
}

/// The components and the first functions of a load.
fn details(counted: &Counted) -> String {
    const SHOWN: [Figure; 3] = [Figure::Instructions, Figure::Calls, Figure::Accesses];
    let all = counted.tally.total[Figure::Instructions].max(1);
    let mut text = String::new();
    for (what, parts, most) in [
        ("component", &counted.tally.components, usize::MAX),
        ("function, with what is inlined into it", &counted.tally.functions, TOP),
    ] {
        let columns = ["share"].into_iter().chain(SHOWN.map(Figure::name)).map(str::to_owned);
        let mut table = Table::new(&format!("{}: {what}", counted.load.name()), columns);
        let mut parts: Vec<_> = parts.iter().collect();
        parts.sort_by_key(|(_, figures)| std::cmp::Reverse(figures[Figure::Instructions]));
        for (name, figures) in parts.into_iter().take(most) {
            let share = format!("{:.1} %", figures[Figure::Instructions] as f64 * 100.0 / all as f64);
            table.row(name, [share].into_iter().chain(SHOWN.map(|figure| number(counted.each(figures[figure])))));
        }
        // Writing to a text cannot fail.
        let _ = write!(text, "\n{table}");
    }
    text
}

/// A number with as many digits as say something.
pub(super) fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

/// What an earlier report said.
#[derive(Clone, Debug)]
pub struct Earlier(Value);

impl Earlier {
    /// Reads the file that `--json` has written.
    ///
    /// # Errors
    /// When it is none.
    pub fn load(file: &Path) -> Result<Self> {
        read_report(file).map(Self)
    }

    /// What has changed since: the totals, and the components that have changed by one instruction or more.
    pub fn compare(&self, report: &Report) -> String {
        report.loads.iter().map(|counted| self.compare_load(counted)).collect()
    }

    fn compare_load(&self, counted: &Counted) -> String {
        let name = counted.load.name();
        let earlier = &self.0["loads"][name];
        if !earlier.is_object() {
            return format!("\n{name}: the earlier report does not have it\n");
        }
        let columns = ["earlier", "now", "change"].map(str::to_owned);
        let mut table = Table::new(&format!("{name}, a request"), columns.clone());
        for figure in Figure::ALL {
            let then = earlier["total"][figure.name()].as_f64().unwrap_or(0.0);
            table.row(figure.name(), changed(then, counted.each(counted.tally.total[figure])));
        }
        let mut text = format!("\n{table}");
        for (what, parts, its) in [
            ("component", &counted.tally.components, &earlier["components"]),
            ("function", &counted.tally.functions, &earlier["functions"]),
        ] {
            let mut table = Table::new(&format!("{name}: instructions by {what}"), columns.clone());
            for (part, then, now) in changes(counted, parts, its) {
                table.row(&part, changed(then, now));
            }
            let _ = write!(text, "\n{table}");
        }
        text
    }
}

/// The parts whose instructions have changed by one or more, the largest change first.
fn changes(counted: &Counted, parts: &BTreeMap<String, Figures>, earlier: &Value) -> Vec<(String, f64, f64)> {
    let then = |part: &str| earlier[part][Figure::Instructions.name()].as_f64().unwrap_or(0.0);
    let now = |part: &str| parts.get(part).map_or(0.0, |figures| counted.each(figures[Figure::Instructions]));
    let gone = earlier.as_object().into_iter().flat_map(|parts| parts.keys()).filter(|part| !parts.contains_key(*part));
    let all = parts.keys().chain(gone).map(|part| (part.clone(), then(part), now(part)));
    let mut changes: Vec<_> = all.filter(|(_, then, now)| (then - now).abs() >= 1.0).collect();
    changes.sort_by(|one, other| (other.1 - other.2).abs().total_cmp(&(one.1 - one.2).abs()));
    changes.truncate(TOP);
    changes
}

fn changed(then: f64, now: f64) -> [String; 3] {
    [number(then), number(now), change(then, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Network, Protection};

    fn report(instructions: u64) -> Report {
        let options =
            Options { loads: Vec::new(), keys: 10, protection: Protection::Pks.into(), network: Network::User };
        let mut figures = Figures::default();
        figures[Figure::Instructions] = instructions;
        figures[Figure::KeyWrites] = 13;
        let parts = |name: &str| BTreeMap::from([(name.to_owned(), figures)]);
        let tally = Tally { total: figures, components: parts("pmem: log"), functions: parts("a::b|c") };
        let mut report = Report::new(&options);
        report.add(Load::SetP1, 100, tally);
        report
    }

    #[test]
    fn figures_are_a_requests() {
        let report = report(1_234_500);
        assert_eq!(report.each(Load::SetP1, "", Figure::Instructions), Some(12_345.0));
        assert_eq!(report.each(Load::SetP1, "pmem", Figure::Instructions), Some(12_345.0));
        assert_eq!(report.each(Load::SetP1, "kvstore", Figure::Instructions), Some(0.0));
        assert_eq!(report.each(Load::GetP1, "", Figure::Instructions), None);
        let text = report.to_string();
        assert!(text.contains("- protection: pks\n") && text.contains("|  12345 |"), "{text}");
        assert!(text.contains("| key-register writes       | 0.1300 |"), "{text}");
        assert!(text.contains("| pmem: log       |  12345 |"), "{text}");
        let details = report.details();
        assert!(details.contains("| a::b\\|c ") && details.contains("| 100.0 % |"), "{details}");
    }

    #[test]
    fn an_earlier_report_is_compared_with() {
        let earlier = Earlier(report(1_000_000).to_json());
        let text = earlier.compare(&report(1_100_000));
        for line in ["10000 | 11000 | +10.0 % |", "0.1300 | 0.1300 |       = |", "| pmem: log"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let same = earlier.compare(&report(1_000_000));
        assert!(!same.contains("pmem: log"), "{same}");
        let other = Earlier(json!({ "loads": {} })).compare(&report(1));
        assert!(other.contains("set-p1: the earlier report does not have it"), "{other}");
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        let numbers = [0.0, 0.01234, 1.2345, 99.94, 12_345.6].map(number);
        assert_eq!(numbers, ["0", "0.0123", "1.23", "99.9", "12346"]);
    }
}
