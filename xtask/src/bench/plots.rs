//! Pictures of what was measured: for each load a bar for each server.

use super::rows::{Figure, Row, Series, p99, processor, rate};
use super::statistics::display;
use super::workload::Group;
use crate::bars::{Bar, Chart, Group as Bars, Part};

/// Colours, in a light and a dark page; both stay legible for who does not tell all colours apart.
const STYLE: &str = "\
text { font: 11px system-ui, sans-serif; fill: #1c1c1c; } .page { fill: #ffffff; }
.range { stroke: #1c1c1c; stroke-width: 1.5; }
.first { fill: #1b7a3d; } .second { fill: #c1531b; } .third { fill: #e8a25d; } .fourth { fill: #9aa5b1; } .fifth { fill: #6b5fa8; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e6e6; } .page { fill: #16181b; } .range { stroke: #e6e6e6; }
}
";
/// The servers' colours; there are no more servers.
const CLASSES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
/// Widths of the columns with the loads and the figures.
const COLUMNS: [f64; 2] = [270.0, 64.0];

/// A picture in a file of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The file's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The file.
    pub svg: String,
}

/// The pictures of one group of loads in one place.
pub fn of_section(place: &str, group: Group, rows: &[Row]) -> Vec<Picture> {
    let shown: &[(&str, &str, Figure)] = match group {
        Group::Mixed => &[("p99", "milliseconds to 99 of 100 answers, shorter is better", p99)],
        _ => &[
            ("rate", "requests a second, longer is better", rate),
            ("cpu", "microseconds of the server's processor time for a request, shorter is better", processor),
        ],
    };
    let picture = |&(short, what, figure): &(&str, &str, Figure)| {
        let title = format!("{}, on {place}: {what}", group.title());
        let svg = chart(&title, rows, figure).svg();
        Picture { name: format!("{}-{}-{short}.svg", place.to_lowercase(), group.word()), title, svg }
    };
    shown.iter().map(picture).collect()
}

fn chart(title: &str, rows: &[Row], figure: Figure) -> Chart {
    let names = rows.first().into_iter().flat_map(|row| &row.series).map(|series| series.contender.clone());
    Chart {
        label: title.to_owned(),
        style: Some(STYLE),
        columns: COLUMNS,
        legend: CLASSES.into_iter().zip(names).collect(),
        groups: rows.iter().map(|row| bars(row, figure)).collect(),
    }
}

/// The bars of a load. They are compared with each other, so the longest range fills its row.
fn bars(row: &Row, figure: Figure) -> Bars {
    let spreads = row.series.iter().filter_map(|series| series.spread(figure));
    let full = spreads.map(|it| it.most).fold(f64::MIN_POSITIVE, f64::max);
    let bars = CLASSES.into_iter().zip(&row.series).map(|(class, series)| bar(class, series, figure, full));
    Bars { label: row.workload.to_string(), bars: bars.collect() }
}

fn bar(class: &'static str, series: &Series, figure: Figure, full: f64) -> Bar {
    let Some(spread) = series.spread(figure) else {
        return Bar { label: String::new(), parts: Vec::new(), range: None };
    };
    let [least, median, most] = [spread.least, spread.median, spread.most].map(display);
    let title = format!("{}: {median} ({least} to {most})", series.contender);
    Bar {
        label: median,
        parts: vec![Part { class, share: spread.median / full, title, text: None }],
        range: Some([spread.least / full, spread.most / full]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_longest_range_fills_its_row() {
        let report = report();
        let bars = bars(&report.rows[0], rate);
        assert_eq!(bars.bars[0].range, Some([2000.0 / 6000.0, 1.0]));
        let shares: Vec<_> = bars.bars.iter().map(|bar| bar.parts[0].share).collect();
        assert_eq!(shares, [4000.0 / 6000.0, 2000.0 / 6000.0]);
        assert_eq!(bars.bars[1].label, "2,000");
    }

    #[test]
    fn nothing_is_drawn_of_what_was_not_measured() {
        let report = report();
        let nothing = bars(&report.rows[0], |run| run.kernel.filter(|_| false));
        assert!(nothing.bars.iter().all(|bar| bar.parts.is_empty() && bar.range.is_none()));
    }

    #[test]
    fn each_picture_has_a_name_of_its_own_and_stands_alone() {
        let pictures = report().pictures();
        let names: Vec<_> = pictures.iter().map(|picture| picture.name.as_str()).collect();
        assert_eq!(names, ["tmpfs-standard-rate.svg", "tmpfs-standard-cpu.svg"]);
        for Picture { svg, .. } in &pictures {
            assert!(svg.starts_with("<svg xmlns=") && svg.contains("<style>"), "{svg}");
        }
    }
}
