//! What the store is to reach as a process of Linux.

use super::super::redis::Log;
use super::super::rows::{Figure, Row, p99, processor, rate};
use super::super::statistics::Spread;
use super::super::targets::{Bound, Measured, Target, ratio_to};
use super::super::workload::Request::{self, Get, Set};
use super::UNPROTECTED;

/// The targets for what was measured in one place.
pub fn targets(rows: &[Row], place: &str) -> Vec<Target> {
    let measured = Measured::at(rows, place);
    let found = |request: Request, pipeline, other: &str, figure: Figure| -> Option<Spread> {
        ratio_to(measured.standard(request, 50, pipeline)?, other, figure)
    };
    let redis = Log::Always.name();
    let mut targets = Vec::new();
    for (pipeline, least) in [(1, 1.0), (16, 1.5)] {
        let what = format!("SET, P={pipeline}: requests/s, of those of {redis}");
        targets.push(Target { what, asked: Bound::AtLeast(least), found: found(Set, pipeline, redis, rate) });
    }
    for (request, pipeline, most) in [(Set, 16, 0.45), (Get, 16, 0.6), (Set, 1, 0.9), (Get, 1, 0.9)] {
        let what = format!("{request}, P={pipeline}: processor time, of that of {redis}");
        targets.push(Target { what, asked: Bound::AtMost(most), found: found(request, pipeline, redis, processor) });
    }
    for request in [Set, Get] {
        let what = format!("{request}, P=16: processor time, of that without protection");
        targets.push(Target { what, asked: Bound::AtMost(1.02), found: found(request, 16, UNPROTECTED, processor) });
    }
    let what = "GET beside 8 that SET: 99th percentile, of that without them".to_owned();
    targets.push(Target { what, asked: Bound::AtMost(1.5), found: beside_writers(&measured) });
    targets
}

/// The store's time to 99 of 100 answers beside writers divided by that without them.
fn beside_writers(measured: &Measured) -> Option<Spread> {
    let [beside, alone] = [measured.mixed(true)?, measured.mixed(false)?];
    beside.series.first()?.ratio(alone.series.first()?, p99)
}

#[cfg(test)]
mod tests {
    use super::super::super::targets::tests::{found, row};
    use super::super::super::workload::{Group, Workload};
    use super::*;

    #[test]
    fn each_target_is_judged_by_its_own_load() {
        let redis = Log::Always.name();
        let standard = Workload::of(Group::Standard).into_iter();
        let mut rows: Vec<Row> = standard.map(|load| row(load, 2.0, redis)).collect();
        let mixed = Workload::of(Group::Mixed).into_iter().zip([4.0, 2.0]);
        rows.extend(mixed.map(|(load, factor)| row(load, factor, redis)));
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
        let rows = [row(Workload::of(Group::Standard)[0], 2.0, Log::Always.name())];
        assert!(targets(&rows, "disk").iter().all(|target| target.is_reached().is_none()));
        assert!(targets(&rows, "tmpfs").iter().any(|target| target.is_reached().is_some()));
    }
}
