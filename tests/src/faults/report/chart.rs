//! The picture: for each kind of fault one bar for each group, divided by outcomes.

use xtask::bars::{self, Bar, Chart, Part};

use super::{Counts, Summary};
use crate::faults::plan::Kind;
use crate::faults::record::{Group, Outcome};

/// Widths of the columns with the kinds and the groups.
const COLUMNS: [f64; 2] = [190.0, 52.0];

/// The name of an outcome's colour in the page's style.
pub(super) fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unaffected => "unaffected",
        Outcome::ClientErrors => "client",
        Outcome::Hung => "hung",
        Outcome::Crashed => "crashed",
        Outcome::Stopped => "stopped",
        Outcome::WrongBeforeStore => "before",
        Outcome::InsideGrant => "inside",
        Outcome::Undecided => "undecided",
        Outcome::OutsideGrant => "outside",
    }
}

/// The picture as SVG.
pub(super) fn chart(summary: &Summary) -> String {
    let groups = summary.by_kind.iter().map(|(&kind, groups)| bars::Group {
        label: kind.to_string(),
        bars: groups.iter().map(|(&group, counts)| bar(kind, group, counts)).collect(),
    });
    let chart = Chart {
        label: "Outcomes by kind of fault, with and without protection".to_owned(),
        style: None,
        columns: COLUMNS,
        legend: Outcome::ALL.map(|outcome| (class(outcome), outcome.label().to_owned())).into(),
        groups: groups.collect(),
    };
    chart.svg()
}

fn bar(kind: Kind, group: Group, counts: &Counts) -> Bar {
    let total: u64 = counts.values().sum();
    let parts = Outcome::ALL.into_iter().filter_map(|outcome| {
        let count = *counts.get(&outcome)?;
        Some(Part {
            class: class(outcome),
            share: count as f64 / total as f64,
            title: format!("{kind}, {}: {count} of {total} {}", group.name(), outcome.label()),
            text: Some(count.to_string()),
        })
    });
    Bar { label: group.name().to_owned(), parts: parts.collect(), range: None }
}
