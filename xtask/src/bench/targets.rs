//! What the store is to reach beside another server, and whether it did.

use super::rows::{Figure, Row};
use super::statistics::Spread;
use super::workload::{Group, Request};

/// A comparison with what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is compared.
    pub what: String,
    /// What is asked.
    pub asked: Bound,
    /// What was found: the ratio in each round.
    pub found: Option<Spread>,
}

/// What is asked of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Target {
    /// Whether the median keeps the bound, if there is one.
    pub fn is_reached(&self) -> Option<bool> {
        let median = self.found?.median;
        Some(match self.asked {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

/// What was measured in one place.
#[derive(Clone, Debug)]
pub struct Measured<'a>(Vec<&'a Row>);

impl<'a> Measured<'a> {
    /// What of these rows was measured in this place.
    pub fn at(rows: &'a [Row], place: &str) -> Self {
        Self(rows.iter().filter(|row| row.place == place).collect())
    }

    /// The row of the standard load with this request, so many connections and this pipeline.
    pub fn standard(&self, request: Request, connections: u32, pipeline: u32) -> Option<&'a Row> {
        self.0.iter().copied().find(|row| {
            let load = &row.workload;
            (load.group, load.request, load.connections, load.pipeline)
                == (Group::Standard, request, connections, pipeline)
        })
    }

    /// The row of GET beside writers, or of the same without them.
    pub fn mixed(&self, with_writers: bool) -> Option<&'a Row> {
        let of = |row: &&&Row| row.workload.group == Group::Mixed && (row.workload.writers > 0) == with_writers;
        self.0.iter().find(of).copied()
    }
}

/// The store's figure divided by that of another that took part beside it.
pub fn ratio_to(row: &Row, other: &str, figure: Figure) -> Option<Spread> {
    let (store, others) = row.series.split_first()?;
    store.ratio(others.iter().find(|series| series.contender == other)?, figure)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::rows::{Measurement, Series};
    use super::super::workload::Workload;
    use super::*;

    /// A contender whose server is so many times as fast as another's.
    fn series(contender: &str, factor: f64) -> Series {
        let (rate, processor) = (1000.0 * factor, 3.0 / factor);
        let run = Measurement { rate, p50: 1.0, p99: 2.0 / factor, processor, kernel: None, counted: None };
        Series { contender: contender.to_owned(), runs: vec![run; 3] }
    }

    /// A load under which the store is so many times as fast as `other`.
    pub(in super::super) fn row(workload: Workload, store: f64, other: &str) -> Row {
        Row { place: "tmpfs", workload, series: vec![series("store", store), series(other, 1.0)] }
    }

    /// The median that was found for the target that begins like this, and whether that was enough.
    pub(in super::super) fn found(targets: &[Target], start: &str) -> (Option<f64>, Option<bool>) {
        let target = targets.iter().find(|target| target.what.starts_with(start)).unwrap();
        (target.found.map(|it| it.median), target.is_reached())
    }

    #[test]
    fn a_figure_is_compared_with_who_is_named_and_not_with_the_store() {
        let row = row(Workload::of(Group::Standard)[0], 2.0, "other");
        let rate = super::super::rows::rate;
        assert_eq!(ratio_to(&row, "other", rate).unwrap().median, 2.0);
        assert_eq!(ratio_to(&row, "store", rate), None);
        assert_eq!(ratio_to(&row, "third", rate), None);
    }
}
