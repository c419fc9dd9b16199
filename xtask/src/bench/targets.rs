//! What the store is to reach on Linux, and whether it did.

use super::redis::Log;
use super::rows::{Figure, Row, Series, p99, processor, rate};
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

/// The targets for what was measured in one place.
pub fn targets(rows: &[Row], place: &str) -> Vec<Target> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.place == place).collect();
    let mut targets = Vec::new();
    for (pipeline, least) in [(1, 1.0), (16, 1.5)] {
        let what = format!("SET, P={pipeline}: requests/s, of those of {}", Log::Always.name());
        let found = standard(&rows, Request::Set, pipeline).and_then(|row| of_redis(row, rate));
        targets.push(Target { what, asked: Bound::AtLeast(least), found });
    }
    for (request, pipeline, most) in
        [(Request::Set, 16, 0.45), (Request::Get, 16, 0.6), (Request::Set, 1, 0.9), (Request::Get, 1, 0.9)]
    {
        let what = format!("{}, P={pipeline}: processor time, of that of {}", request.word(), Log::Always.name());
        let found = standard(&rows, request, pipeline).and_then(|row| of_redis(row, processor));
        targets.push(Target { what, asked: Bound::AtMost(most), found });
    }
    for request in [Request::Set, Request::Get] {
        let what = format!("{}, P=16: processor time, of that without protection", request.word());
        let found =
            standard(&rows, request, 16).and_then(|row| row.series.first()?.ratio(unprotected(row)?, processor));
        targets.push(Target { what, asked: Bound::AtMost(1.02), found });
    }
    let what = "GET beside 8 that SET: 99th percentile, of that without them".to_owned();
    targets.push(Target { what, asked: Bound::AtMost(1.5), found: beside_writers(&rows) });
    targets
}

/// The row of 50 connections with this request and pipeline.
fn standard<'a>(rows: &[&'a Row], request: Request, pipeline: u32) -> Option<&'a Row> {
    rows.iter().copied().find(|row| {
        let load = &row.workload;
        (load.group, load.request, load.connections, load.pipeline) == (Group::Standard, request, 50, pipeline)
    })
}

/// The store's figure divided by that of the Redis that keeps the same promise.
fn of_redis(row: &Row, figure: Figure) -> Option<Spread> {
    let redis = row.series.iter().find(|series| series.contender == Log::Always.name())?;
    row.series.first()?.ratio(redis, figure)
}

/// The store without protection, if it took part beside one with it.
fn unprotected(row: &Row) -> Option<&Series> {
    row.series.iter().skip(1).find(|series| series.contender == super::UNPROTECTED)
}

/// The store's time to 99 of 100 answers beside writers divided by that without them.
fn beside_writers(rows: &[&Row]) -> Option<Spread> {
    let mixed = |has_writers: bool| {
        let of = |row: &&&Row| row.workload.group == Group::Mixed && (row.workload.writers > 0) == has_writers;
        rows.iter().find(of)?.series.first()
    };
    mixed(true)?.ratio(mixed(false)?, p99)
}

#[cfg(test)]
mod tests {
    use super::super::rows::Measurement;
    use super::super::workload::Workload;
    use super::*;

    fn series(contender: &str, factor: f64) -> Series {
        let (rate, processor) = (1000.0 * factor, 3.0 / factor);
        let run = Measurement { rate, p50: 1.0, p99: 2.0 / factor, processor, kernel: None, counted: None };
        Series { contender: contender.to_owned(), runs: vec![run; 3] }
    }

    fn row(workload: Workload, store: f64) -> Row {
        Row { place: "tmpfs", workload, series: vec![series("store", store), series(Log::Always.name(), 1.0)] }
    }

    fn found(targets: &[Target], start: &str) -> (Option<f64>, Option<bool>) {
        let target = targets.iter().find(|target| target.what.starts_with(start)).unwrap();
        (target.found.map(|it| it.median), target.is_reached())
    }

    #[test]
    fn each_target_is_judged_by_its_own_load() {
        let mut rows: Vec<Row> = Workload::of(Group::Standard).into_iter().map(|load| row(load, 2.0)).collect();
        rows.extend(Workload::of(Group::Mixed).into_iter().zip([4.0, 2.0]).map(|(load, factor)| row(load, factor)));
        let targets = targets(&rows, "tmpfs");
        assert_eq!(found(&targets, "SET, P=1: requests"), (Some(2.0), Some(true)));
        assert_eq!(found(&targets, "SET, P=16: processor time, of that of Redis"), (Some(0.5), Some(false)));
        assert_eq!(found(&targets, "GET, P=16: processor time, of that of Redis"), (Some(0.5), Some(true)));
        assert_eq!(found(&targets, "SET, P=16: processor time, of that without"), (None, None));
        assert_eq!(found(&targets, "GET beside"), (Some(2.0), Some(false)));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(targets(&[], "disk").iter().all(|target| target.is_reached().is_none()));
        let rows = [row(Workload::of(Group::Standard)[0], 2.0)];
        assert!(targets(&rows, "disk").iter().all(|target| target.is_reached().is_none()));
        assert!(targets(&rows, "tmpfs").iter().any(|target| target.is_reached().is_some()));
    }
}
