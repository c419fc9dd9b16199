//! What the store is to reach in its machine, beside Redis on Linux.

use super::super::rows::{Figure, Row, p99, rate};
use super::super::statistics::Spread;
use super::super::targets::{Bound, Measured, Target, ratio_to};
use super::super::workload::Request::{self, Get, Set};
use super::redis_linux::NAME;

/// How many times as many requests a second: what is said, by how many connections, in pipelines of how many.
const RATES: [(Request, u32, u32, f64); 6] =
    [(Set, 50, 1, 6.0), (Set, 50, 16, 6.0), (Get, 50, 1, 5.0), (Get, 50, 16, 4.0), (Set, 1, 1, 6.0), (Get, 1, 1, 2.0)];
/// In what part of the time 99 of 100 writes are answered, in pipelines of how many.
const WAITS: [(u32, f64); 2] = [(1, 0.15), (16, 0.15)];

/// The targets for what was measured in one place.
pub fn targets(rows: &[Row], place: &str) -> Vec<Target> {
    let measured = Measured::at(rows, place);
    let found = |request, connections, pipeline, figure: Figure| -> Option<Spread> {
        ratio_to(measured.standard(request, connections, pipeline)?, NAME, figure)
    };
    let load = |request: Request, connections: u32, pipeline: u32| match connections {
        1 => format!("{request}, one connection"),
        _ => format!("{request}, P={pipeline}"),
    };
    let rates = RATES.map(|(request, connections, pipeline, least)| Target {
        what: format!("{}: requests/s, of those of {NAME}", load(request, connections, pipeline)),
        asked: Bound::AtLeast(least),
        found: found(request, connections, pipeline, rate),
    });
    let waits = WAITS.map(|(pipeline, most)| Target {
        what: format!("{}: 99th percentile, of that of {NAME}", load(Set, 50, pipeline)),
        asked: Bound::AtMost(most),
        found: found(Set, 50, pipeline, p99),
    });
    rates.into_iter().chain(waits).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::targets::tests::{found, row};
    use super::super::super::workload::{Group, Workload};
    use super::*;

    #[test]
    fn each_target_is_judged_by_its_own_load() {
        // SET P=16, GET P=16, SET P=1, GET P=1, SET of one connection, GET of one.
        let factors = [6.0, 3.9, 8.0, 5.5, 5.9, 2.0];
        let loads = Workload::of(Group::Standard).into_iter().zip(factors);
        let rows: Vec<Row> = loads.map(|(load, factor)| row(load, factor, NAME)).collect();
        let targets = targets(&rows, "tmpfs");
        assert_eq!(found(&targets, "SET, P=1: requests"), (Some(8.0), Some(true)));
        assert_eq!(found(&targets, "SET, P=16: requests"), (Some(6.0), Some(true)));
        assert_eq!(found(&targets, "GET, P=1: requests"), (Some(5.5), Some(true)));
        assert_eq!(found(&targets, "GET, P=16: requests"), (Some(3.9), Some(false)));
        assert_eq!(found(&targets, "SET, one connection"), (Some(5.9), Some(false)));
        assert_eq!(found(&targets, "GET, one connection"), (Some(2.0), Some(true)));
        assert_eq!(found(&targets, "SET, P=1: 99th"), (Some(0.125), Some(true)));
        assert_eq!(found(&targets, "SET, P=16: 99th").1, Some(false));
    }

    #[test]
    fn nothing_is_judged_beside_another_contender() {
        let rows = [row(Workload::of(Group::Standard)[0], 9.0, "the other store")];
        assert!(targets(&rows, "tmpfs").iter().all(|target| target.is_reached().is_none()));
    }
}
