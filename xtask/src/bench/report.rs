//! What was measured, for people as Markdown and for programs as JSON.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::session::{Measurement, Series};
use super::statistics::{Spread, display};
use super::workload::Workload;

/// All contenders under one load on one file system; the store comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where the servers' files were.
    pub place: &'static str,
    /// The load.
    pub workload: Workload,
    /// What each did.
    pub series: Vec<Series>,
}

/// The report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was measured on, and with what: names and values.
    pub configuration: Vec<(String, String)>,
    /// What was measured.
    pub rows: Vec<Row>,
}

/// A figure of a run.
type Figure = fn(&Measurement) -> f64;

/// The figures, with their names for programs.
const FIGURES: [(&str, Figure); 4] = [
    ("requests_per_second", |run| run.rate),
    ("p50_milliseconds", |run| run.p50),
    ("p99_milliseconds", |run| run.p99),
    ("server_cpu_microseconds_per_request", |run| run.processor),
];

impl Report {
    /// For programs: every run, and what is said of them.
    pub fn to_json(&self) -> Value {
        let configuration: serde_json::Map<_, _> =
            self.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "configuration": configuration, "rows": self.rows.iter().map(row_json).collect::<Vec<_>>() })
    }
}

fn row_json(row: &Row) -> Value {
    let load = &row.workload;
    let contenders = row.series.iter().map(|series| {
        let figures = FIGURES.into_iter().map(|(name, figure)| {
            let runs: Vec<f64> = series.runs.iter().map(figure).collect();
            (name.to_owned(), json!({ "spread": series.spread(figure).map(Spread::to_json), "runs": runs }))
        });
        json!({ "name": series.contender, "figures": figures.collect::<serde_json::Map<_, _>>() })
    });
    json!({
        "place": row.place,
        "load": load.to_string(),
        "request": load.request.word(),
        "connections": load.connections,
        "pipeline": load.pipeline,
        "value_bytes": load.value,
        "writers_beside": load.writers,
        "contenders": contenders.collect::<Vec<_>>(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.configuration {
            writeln!(f, "- {name}: {value}")?;
        }
        let mut place = "";
        for row in &self.rows {
            if row.place != place {
                place = row.place;
                writeln!(f, "\n### On {place}\n\n{HEAD}")?;
            }
            f.write_str(&table_rows(row))?;
        }
        Ok(())
    }
}

/// The head of a table. The last two columns are medians of the ratios round by round.
const HEAD: &str = "\
| load | server | requests/s (least to most) | p50 ms | p99 ms | CPU µs/request (least to most) | store's rate is | store's CPU is |
|---|---|---|---|---|---|---|---|";

fn table_rows(row: &Row) -> String {
    let mut text = String::new();
    let Some(store) = row.series.first() else { return text };
    for (number, series) in row.series.iter().enumerate() {
        let load = if number == 0 { row.workload.to_string() } else { String::new() };
        let figure = |figure: Figure| series.spread(figure);
        let wide = |spread: Option<Spread>| {
            spread.map_or_else(String::new, |it| {
                format!("**{}** ({} to {})", display(it.median), display(it.least), display(it.most))
            })
        };
        let median = |spread: Option<Spread>| spread.map_or_else(String::new, |it| display(it.median));
        let times = |figure: Figure| match number {
            0 => String::new(),
            _ => store.ratio(series, figure).map_or_else(String::new, |it| format!("{:.2} of it", it.median)),
        };
        let (rate, processor) = (|run: &Measurement| run.rate, |run: &Measurement| run.processor);
        let _ = writeln!(
            text,
            "| {load} | {} | {} | {} | {} | {} | {} | {} |",
            series.contender,
            wide(figure(rate)),
            median(figure(|run| run.p50)),
            median(figure(|run| run.p99)),
            wide(figure(processor)),
            times(rate),
            times(processor),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::workload::Group;
    use super::*;

    fn report() -> Report {
        let series = |contender: &str, factor: f64| Series {
            contender: contender.to_owned(),
            runs: [1.0, 2.0, 3.0]
                .map(|round| Measurement { rate: round * factor * 1000.0, p50: 0.5, p99: 1.5, processor: 4.0 / factor })
                .into(),
        };
        Report {
            configuration: vec![("kernel".to_owned(), "6.1".to_owned())],
            rows: vec![Row {
                place: "tmpfs",
                workload: Workload::of(Group::Standard)[0],
                series: vec![series("store", 2.0), series("Redis, no log", 1.0)],
            }],
        }
    }

    #[test]
    fn the_table_compares_the_store_with_each_other() {
        let text = report().to_string();
        let expected = "\
| SET 64 B, 50 conn., P=16 | store | **4,000** (2,000 to 6,000) | 0.500 | 1.50 | **2.00** (2.00 to 2.00) |  |  |
|  | Redis, no log | **2,000** (1,000 to 3,000) | 0.500 | 1.50 | **4.00** (4.00 to 4.00) | 2.00 of it | 0.50 of it |
";
        assert!(text.starts_with("- kernel: 6.1\n\n### On tmpfs\n\n| load |") && text.ends_with(expected), "{text}");
    }

    #[test]
    fn programs_get_every_run() {
        let json = report().to_json();
        let figures = &json["rows"][0]["contenders"][1]["figures"];
        assert_eq!(figures["requests_per_second"]["runs"], json!([1000.0, 2000.0, 3000.0]));
        assert_eq!(figures["server_cpu_microseconds_per_request"]["spread"]["median"], 4.0);
        assert_eq!(json["configuration"]["kernel"], "6.1");
    }
}
