//! What has changed since an earlier report was written.
//!
//! Figures of two sessions differ by what else the computer did, too. So a change is told as one only where no run of
//! one session is among those of the other; and the ratios to who took part in both are compared beside the store's own
//! figures, since what slows the computer down slows both.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::report::Report;
use super::rows::{FIGURES, Figure, Row, Series};
use super::statistics::{Spread, display};
use crate::tables::{Table, change, read_report};

/// What an earlier report said.
#[derive(Clone, Debug)]
pub struct Earlier(Value);

/// Figures that are compared: what people and programs call them.
const COMPARED: [(&str, &str); 3] = [
    ("requests/s", "requests_per_second"),
    ("p99 ms", "p99_milliseconds"),
    ("CPU µs/request", "server_cpu_microseconds_per_request"),
];

/// By what part of itself a number may differ from what was written to a file and read again.
const ROUNDING: f64 = 1e-9;

/// A figure with its name for programs.
type Named = (&'static str, Figure);

impl Earlier {
    /// Reads the file that `--json` has written.
    ///
    /// # Errors
    /// When it is none.
    pub fn load(file: &Path) -> Result<Self> {
        read_report(file).map(Self)
    }

    /// What has changed since: a table for each figure.
    pub fn compare(&self, report: &Report) -> String {
        let named = |name: &str| FIGURES.into_iter().find(|(its, _)| *its == name);
        let table = |(title, name): (&str, &str)| named(name).map(|it| format!("\n{}", self.table(report, title, it)));
        COMPARED.into_iter().filter_map(table).collect()
    }

    fn table(&self, report: &Report, title: &str, figure: Named) -> Table {
        let columns = ["earlier (least to most)", "now (least to most)", "change", "more than the runs differ"];
        let mut table = Table::new(title, columns.map(str::to_owned));
        for row in &report.rows {
            let Some((store, others)) = row.series.split_first() else { continue };
            let label = format!("{}, {}: {}", row.place, row.workload, store.contender);
            table.row(&label, self.cells(row, store, None, figure));
            for other in others {
                table.row(&format!("… of that of {}", other.contender), self.cells(row, store, Some(other), figure));
            }
        }
        table
    }

    /// The cells of a row: a figure of the store's, or its ratio to another's.
    fn cells(&self, row: &Row, store: &Series, other: Option<&Series>, (name, figure): Named) -> [String; 4] {
        let now = match other {
            Some(other) => store.ratio(other, figure),
            None => store.spread(figure),
        };
        let then = self.series(row, &store.contender, name).and_then(|mine| match other {
            Some(other) => {
                let its = self.series(row, &other.contender, name)?;
                Spread::of(mine.iter().zip(its).map(|(mine, its)| mine / its))
            }
            None => Spread::of(mine),
        });
        let shown = |spread: Option<Spread>| {
            spread.map_or_else(String::new, |it| {
                format!("{} ({} to {})", display(it.median), display(it.least), display(it.most))
            })
        };
        let (changed, clearly) = match (then, now) {
            (Some(then), Some(now)) => {
                let below = |one: Spread, other: Spread| one.most * (1.0 + ROUNDING) < other.least;
                let apart = below(then, now) || below(now, then);
                (change(then.median, now.median), if apart { "yes" } else { "no" })
            }
            _ => (String::new(), ""),
        };
        [shown(then), shown(now), changed, clearly.to_owned()]
    }

    /// The runs of a contender under the same load in the same place, if the earlier report has them.
    fn series(&self, row: &Row, contender: &str, figure: &str) -> Option<Vec<f64>> {
        let load = row.workload.to_string();
        let same =
            |it: &&Value| it["place"] == row.place && it["group"] == row.workload.group.word() && it["load"] == load;
        let rows = self.0["rows"].as_array()?;
        let contenders = rows.iter().find(same)?["contenders"].as_array()?;
        let its = contenders.iter().find(|it| it["name"] == contender)?;
        its["figures"][figure]["runs"].as_array()?.iter().map(Value::as_f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn a_change_is_told_apart_from_what_runs_differ_by() {
        let (earlier, mut now) = (Earlier(report().to_json()), report());
        let unchanged = earlier.compare(&now);
        let line = "4,000 (2,000 to 6,000) | 4,000 (2,000 to 6,000) |      = |";
        assert!(unchanged.contains(line), "{unchanged}");
        for run in &mut now.rows[0].series[0].runs {
            run.rate *= 4.0;
        }
        let changed = earlier.compare(&now);
        let line = changed.lines().find(|line| line.contains("16,000")).unwrap();
        assert!(line.contains("+300.0 %") && line.ends_with("yes |"), "{line}");
        let ratio = changed.lines().find(|line| line.contains("of that of Redis, no log")).unwrap();
        assert!(ratio.contains("2.00 (2.00 to 2.00)") && ratio.contains("8.00 (8.00 to 8.00)"), "{ratio}");
    }

    #[test]
    fn every_figure_that_is_compared_has_a_table() {
        let text = Earlier(report().to_json()).compare(&report());
        assert_eq!(text.matches("| change |").count(), COMPARED.len(), "{text}");
    }

    #[test]
    fn what_the_earlier_report_does_not_have_stays_empty() {
        let text = Earlier(serde_json::json!({ "rows": [] })).compare(&report());
        let line = text.lines().find(|line| line.contains("4,000")).unwrap();
        assert!(line.ends_with("|        |                           |"), "{line}");
    }
}
