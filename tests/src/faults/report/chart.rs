//! The picture: for each kind of fault one bar for each group, divided by outcomes.

use std::fmt::Write as _;

use super::Summary;
use crate::faults::plan::Kind;
use crate::faults::record::{Group, Outcome};

/// Measures of the picture, in its own units.
const LABELS: f64 = 190.0;
const BAR: f64 = 620.0;
const GROUPS: f64 = 52.0;
const HEIGHT: f64 = 13.0;
const GAP: f64 = 9.0;
const LEGEND: f64 = 70.0;

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
    let width = LABELS + GROUPS + BAR + 10.0;
    let bars: usize = summary.by_kind.values().map(|groups| groups.len()).sum();
    let height = LEGEND + bars as f64 * (HEIGHT + 2.0) + summary.by_kind.len() as f64 * GAP + 4.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Outcomes by kind of fault, with and without protection\">\n"
    );
    legend(&mut svg);
    let mut y = LEGEND;
    for (kind, groups) in &summary.by_kind {
        let middle = y + groups.len() as f64 * (HEIGHT + 2.0) / 2.0 + 3.0;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{kind}</text>", LABELS - 8.0);
        for &group in groups.keys() {
            bar(&mut svg, summary, *kind, group, y);
            y += HEIGHT + 2.0;
        }
        y += GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
        let (x, y) = (10.0 + 290.0 * (index % 3) as f64, 8.0 + 18.0 * (index / 3) as f64);
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\"/><text x=\"{}\" y=\"{}\">{}</text>",
            class(outcome),
            x + 18.0,
            y + 10.0,
            outcome.label()
        );
    }
}

fn bar(svg: &mut String, summary: &Summary, kind: Kind, group: Group, y: f64) {
    let counts = &summary.by_kind[&kind][&group];
    let total: u64 = counts.values().sum();
    let _ = writeln!(svg, "<text class=\"group\" x=\"{LABELS}\" y=\"{}\">{}</text>", y + 10.0, group.name());
    let mut x = LABELS + GROUPS;
    for outcome in Outcome::ALL {
        let Some(&count) = counts.get(&outcome) else { continue };
        let width = BAR * count as f64 / total as f64;
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{HEIGHT}\"><title>{kind}, {}: {count} of {total} {}</title></rect>",
            class(outcome),
            group.name(),
            outcome.label()
        );
        if width > 18.0 {
            let _ = writeln!(
                svg,
                "<text class=\"count {}-text\" x=\"{:.2}\" y=\"{}\" text-anchor=\"middle\">{count}</text>",
                class(outcome),
                x + width / 2.0,
                y + 10.0
            );
        }
        x += width;
    }
}
