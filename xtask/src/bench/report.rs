//! What was measured, for people as Markdown and for programs as JSON.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::grants::Grants;
use super::plots::{self, Picture};
use super::rows::{FIGURES, Figure, Row, cycles, instructions, kernel, p50, p99, processor, rate};
use super::statistics::{Spread, display};
use super::targets::{Bound, Target};
use super::workload::Group;
use crate::traffic::Popularity;

/// The report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was measured on, and with what: names and values.
    pub configuration: Vec<(String, String)>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What is asked of it, place by place.
    pub targets: Vec<(&'static str, Vec<Target>)>,
    /// What grants cost, if that was measured.
    pub grants: Option<Grants>,
}

impl Report {
    /// For programs: every run, and what is said of them.
    pub fn to_json(&self) -> Value {
        let configuration: serde_json::Map<_, _> =
            self.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "configuration": configuration,
            "grants": self.grants.as_ref().map(Grants::to_json),
            "targets": self.targets.iter().flat_map(|(place, targets)| targets.iter().map(|it| target_json(place, it)))
                .collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row_json).collect::<Vec<_>>(),
        })
    }

    /// For people, as Markdown. Pictures are shown from the folder `pictures`, if there is one.
    pub fn markdown(&self, pictures: Option<&str>) -> String {
        let mut text = "## Configuration\n\n".to_owned();
        for (name, value) in &self.configuration {
            let _ = writeln!(text, "- {name}: {value}");
        }
        if let Some(grants) = &self.grants {
            let _ = write!(text, "\n## Grants\n\n{grants}");
        }
        for (place, targets) in &self.targets {
            if targets.iter().any(|target| target.found.is_some()) {
                let _ = write!(text, "\n## Targets, on {place}\n\n{TARGETS_HEAD}\n");
                targets.iter().for_each(|target| text.push_str(&target_row(target)));
            }
        }
        for (place, group, rows) in self.sections() {
            let _ = write!(text, "\n## {}, on {place}\n\n", group.title());
            if let Some(folder) = pictures {
                for Picture { name, title, .. } in plots::of_section(place, group, rows) {
                    let _ = writeln!(text, "![{title}]({folder}/{name})\n");
                }
            }
            let _ = writeln!(text, "{HEAD}");
            rows.iter().for_each(|row| text.push_str(&table_rows(row)));
        }
        text
    }

    /// All pictures.
    pub fn pictures(&self) -> Vec<Picture> {
        self.sections().into_iter().flat_map(|(place, group, rows)| plots::of_section(place, group, rows)).collect()
    }

    /// Rows that belong together.
    fn sections(&self) -> Vec<(&'static str, Group, &[Row])> {
        let same = |one: &Row, other: &Row| (one.place, one.workload.group) == (other.place, other.workload.group);
        let sections = self.rows.chunk_by(same);
        sections.filter_map(|rows| rows.first().map(|row| (row.place, row.workload.group, rows))).collect()
    }
}

fn row_json(row: &Row) -> Value {
    let load = &row.workload;
    let contenders = row.series.iter().map(|series| {
        let figures = FIGURES.into_iter().map(|(name, figure)| {
            let runs: Vec<_> = series.runs.iter().map(figure).collect();
            (name.to_owned(), json!({ "spread": series.spread(figure).map(Spread::to_json), "runs": runs }))
        });
        json!({ "name": series.contender, "figures": figures.collect::<serde_json::Map<_, _>>() })
    });
    json!({
        "place": row.place,
        "group": load.group.word(),
        "load": load.to_string(),
        "request": load.request.to_string(),
        "connections": load.connections,
        "pipeline": load.pipeline,
        "value_bytes": load.value,
        "keys_by_zipfs_law": load.popularity == Popularity::Zipf,
        "writers_beside": load.writers,
        "contenders": contenders.collect::<Vec<_>>(),
    })
}

fn target_json(place: &str, target: &Target) -> Value {
    let (asked, bound) = match target.asked {
        Bound::AtLeast(bound) => ("at_least", bound),
        Bound::AtMost(bound) => ("at_most", bound),
    };
    json!({
        "place": place,
        "what": target.what,
        asked: bound,
        "found": target.found.map(Spread::to_json),
        "reached": target.is_reached(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.markdown(None))
    }
}

/// The head of the table of targets.
const TARGETS_HEAD: &str = "\
| what | target | found (least to most) | reached |
|---|---|---|---|";

fn target_row(target: &Target) -> String {
    let asked = match target.asked {
        Bound::AtLeast(bound) => format!("at least {bound}"),
        Bound::AtMost(bound) => format!("at most {bound}"),
    };
    let found = target.found.map_or_else(
        || "not measured".to_owned(),
        |it| format!("**{:.2}** ({:.2} to {:.2})", it.median, it.least, it.most),
    );
    let reached = target.is_reached().map_or("", |reached| if reached { "yes" } else { "no" });
    format!("| {} | {asked} | {found} | {reached} |\n", target.what)
}

/// The head of a table. The last two columns are medians of the ratios round by round.
const HEAD: &str = "\
| load | server | requests/s (least to most) | p50 ms | p99 ms | CPU µs/request (least to most) | of it in the kernel | cycles/request | instructions/request | store's rate is | store's CPU is |
|---|---|---|---|---|---|---|---|---|---|---|";

fn table_rows(row: &Row) -> String {
    let mut text = String::new();
    let Some(store) = row.series.first() else { return text };
    for (number, series) in row.series.iter().enumerate() {
        let load = if number == 0 { row.workload.to_string() } else { String::new() };
        let wide = |figure: Figure| {
            series.spread(figure).map_or_else(String::new, |it| {
                format!("**{}** ({} to {})", display(it.median), display(it.least), display(it.most))
            })
        };
        let median = |figure: Figure| series.spread(figure).map_or_else(String::new, |it| display(it.median));
        let times = |figure: Figure| match number {
            0 => String::new(),
            _ => store.ratio(series, figure).map_or_else(String::new, |it| format!("{:.2} of it", it.median)),
        };
        let share = series.spread(kernel).map_or_else(String::new, |it| format!("{:.0} %", it.median * 100.0));
        let columns = [
            load,
            series.contender.clone(),
            wide(rate),
            median(p50),
            median(p99),
            wide(processor),
            share,
            median(cycles),
            median(instructions),
            times(rate),
            times(processor),
        ];
        let _ = writeln!(text, "| {} |", columns.join(" | "));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::grants::Cost;
    use super::super::hardware::Counts;
    use super::super::rows::{Measurement, Series};
    use super::super::workload::Workload;
    use super::*;

    /// One load, of the store and a Redis that is half as fast.
    pub(in super::super) fn report() -> Report {
        let series = |contender: &str, factor: f64, counted| Series {
            contender: contender.to_owned(),
            runs: [1.0, 2.0, 3.0]
                .map(|round| Measurement {
                    rate: round * factor * 1000.0,
                    p50: 0.5,
                    p99: 1.5,
                    processor: 4.0 / factor,
                    kernel: Some(0.75),
                    counted,
                })
                .into(),
        };
        let counted = Some(Counts { cycles: 9000.0, instructions: 12_345.0 });
        Report {
            configuration: vec![("kernel".to_owned(), "6.1".to_owned())],
            rows: vec![Row {
                place: "tmpfs",
                workload: Workload::of(Group::Standard)[0],
                series: vec![series("store", 2.0, counted), series("Redis, no log", 1.0, None)],
            }],
            targets: Vec::new(),
            grants: Some(Grants {
                ticks_per_microsecond: 2000.0,
                costs: vec![Cost {
                    name: "read grant".to_owned(),
                    ticks: Spread { least: 1.0, median: 2.0, most: 3.0 },
                }],
            }),
        }
    }

    #[test]
    fn the_table_compares_the_store_with_each_other() {
        let text = report().to_string();
        let expected = "\
| SET 64 B, 50 conn., P=16 | store | **4,000** (2,000 to 6,000) | 0.500 | 1.50 | **2.00** (2.00 to 2.00) | 75 % | 9,000 | 12,345 |  |  |
|  | Redis, no log | **2,000** (1,000 to 3,000) | 0.500 | 1.50 | **4.00** (4.00 to 4.00) | 75 % |  |  | 2.00 of it | 0.50 of it |
";
        assert!(text.starts_with("## Configuration\n\n- kernel: 6.1\n\n## Grants\n\n| operation |"), "{text}");
        assert!(
            text.contains("\n## SET and GET of 64 bytes, on tmpfs\n\n| load |") && text.ends_with(expected),
            "{text}"
        );
    }

    #[test]
    fn targets_that_were_not_measured_are_told_as_such() {
        let mut report = report();
        let target = |what: &str, asked, found| Target { what: what.to_owned(), asked, found };
        report.targets = vec![("tmpfs", vec![target("that", Bound::AtLeast(1.5), None)])];
        assert!(!report.to_string().contains("## Targets"), "none of them was");
        let spread = Some(Spread { least: 0.4, median: 0.46, most: 0.5 });
        report.targets[0].1.push(target("this", Bound::AtMost(0.45), spread));
        let text = report.to_string();
        assert!(text.contains("## Targets, on tmpfs"), "{text}");
        assert!(text.contains("| that | at least 1.5 | not measured |  |\n"), "{text}");
        assert!(text.contains("| this | at most 0.45 | **0.46** (0.40 to 0.50) | no |\n"), "{text}");
        let json = &report.to_json()["targets"];
        assert_eq!((&json[0]["reached"], &json[1]["reached"]), (&Value::Null, &json!(false)));
        assert_eq!((&json[1]["at_most"], &json[1]["found"]["median"]), (&json!(0.45), &json!(0.46)));
    }

    #[test]
    fn programs_get_every_run() {
        let json = report().to_json();
        let figures = &json["rows"][0]["contenders"][1]["figures"];
        assert_eq!(figures["requests_per_second"]["runs"], json!([1000.0, 2000.0, 3000.0]));
        assert_eq!(figures["server_cpu_microseconds_per_request"]["spread"]["median"], 4.0);
        assert_eq!(figures["server_cycles_per_request"]["runs"], json!([null, null, null]));
        assert_eq!(
            json["rows"][0]["contenders"][0]["figures"]["server_cycles_per_request"]["spread"]["median"],
            9000.0
        );
        assert_eq!(json["configuration"]["kernel"], "6.1");
        assert_eq!(json["grants"]["tsc_ticks"]["read grant"]["median"], 2.0);
    }
}
