//! What was measured: runs, series of them, and the figures that are told of them.

use super::hardware::Counts;
use super::statistics::Spread;
use super::workload::Workload;

/// What one run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Requests a second, of those that are measured.
    pub rate: f64,
    /// Milliseconds within which half of the answers came.
    pub p50: f64,
    /// And 99 of 100.
    pub p99: f64,
    /// Microseconds of processor time that the server took for a request, be it a measured one or a writer's beside.
    pub processor: f64,
    /// How much of that time the kernel worked for it, as a part of one. Linux tells it in hundredths of a second; of a
    /// short run there is nothing to say.
    pub kernel: Option<f64>,
    /// What the processor counted for a request, where it can.
    pub counted: Option<Counts>,
}

/// A figure of a run, if it has it.
pub type Figure = fn(&Measurement) -> Option<f64>;

/// All runs of one contender under one load.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is called.
    pub contender: String,
    /// The runs, in turn.
    pub runs: Vec<Measurement>,
}

impl Series {
    /// A figure of each run.
    pub fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(self.runs.iter().map(figure).collect::<Option<Vec<_>>>()?)
    }

    /// A figure of each run divided by that of the other's in the same round.
    pub fn ratio(&self, other: &Self, figure: Figure) -> Option<Spread> {
        let ratios = self.runs.iter().zip(&other.runs).map(|(mine, its)| Some(figure(mine)? / figure(its)?));
        Spread::of(ratios.collect::<Option<Vec<_>>>()?)
    }
}

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

/// Requests a second.
pub fn rate(run: &Measurement) -> Option<f64> {
    Some(run.rate)
}

/// Milliseconds to 99 of 100 answers.
pub fn p99(run: &Measurement) -> Option<f64> {
    Some(run.p99)
}

/// Microseconds of processor time for a request.
pub fn processor(run: &Measurement) -> Option<f64> {
    Some(run.processor)
}

/// Milliseconds to half of the answers.
pub fn p50(run: &Measurement) -> Option<f64> {
    Some(run.p50)
}

/// The kernel's part of the processor time.
pub fn kernel(run: &Measurement) -> Option<f64> {
    run.kernel
}

/// Cycles for a request, if they were counted.
pub fn cycles(run: &Measurement) -> Option<f64> {
    run.counted.map(|it| it.cycles)
}

/// Instructions for a request, if they were counted.
pub fn instructions(run: &Measurement) -> Option<f64> {
    run.counted.map(|it| it.instructions)
}

/// The figures, with their names for programs.
pub const FIGURES: [(&str, Figure); 7] = [
    ("requests_per_second", rate),
    ("p50_milliseconds", p50),
    ("p99_milliseconds", p99),
    ("server_cpu_microseconds_per_request", processor),
    ("server_cpu_kernel_share", kernel),
    ("server_cycles_per_request", cycles),
    ("server_instructions_per_request", instructions),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64) -> Measurement {
        Measurement { rate, p50: 1.0, p99: 2.0, processor: 3.0, kernel: None, counted: None }
    }

    #[test]
    fn runs_of_the_same_round_are_compared() {
        let series = |rates: [f64; 3]| Series { contender: String::new(), runs: rates.map(run).into() };
        // The computer got slower by the half in the third round, for both.
        let (one, other) = (series([100.0, 110.0, 50.0]), series([50.0, 50.0, 25.0]));
        let ratio = one.ratio(&other, |run| Some(run.rate)).unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (2.0, 2.0, 2.2));
        assert_eq!(one.spread(|run| Some(run.rate)).unwrap().median, 100.0);
        assert_eq!(one.ratio(&other, |run| run.kernel), None);
    }
}
