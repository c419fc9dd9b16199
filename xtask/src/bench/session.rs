//! A session: the contenders under one load in turns, round by round, so that what else the computer does meets all.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::computer::Computer;
use super::hardware::{Counters, Counting, Counts};
use super::load;
use super::redis::Redis;
use super::server::{Contender, Server};
use super::statistics::Spread;
use super::workload::Workload;

/// Requests that take long enough for the load to tell how many it made a second: its clock has milliseconds.
const LEAST_TO_TIME: u64 = 1000;

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

/// How a session goes.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// Who takes part.
    pub contenders: &'a [Contender],
    /// Who makes the load.
    pub redis: &'a Redis,
    /// Where.
    pub computer: &'a Computer,
    /// What the processor can be asked.
    pub counting: &'a Counting,
    /// How many runs each has.
    pub rounds: u32,
    /// How long each is to last, about.
    pub seconds: f64,
}

impl Session<'_> {
    /// Measures all contenders under a set of loads, with their files in `directory`. For each load: what each did.
    ///
    /// # Errors
    /// When a server or the load fails.
    pub fn measure(&self, workloads: &[Workload], directory: &Path) -> Result<Vec<Vec<Series>>> {
        let directory = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(directory)?;
        let mut running = Vec::new();
        for (number, contender) in self.contenders.iter().enumerate() {
            running.push(self.start(contender, workloads, &directory.path().join(number.to_string()))?);
        }
        for _ in 0..self.rounds {
            for (number, workload) in workloads.iter().enumerate() {
                for it in &mut running {
                    let run = self.run(workload, it.requests[number], &mut it.server)?;
                    it.series[number].runs.push(run);
                }
            }
        }
        let by_load = |number: usize| running.iter().map(|it| it.series[number].clone()).collect();
        Ok((0..workloads.len()).map(by_load).collect())
    }

    /// Starts a contender, fills it, and finds out how much it can do under each load, which warms it up too.
    fn start(&self, contender: &Contender, workloads: &[Workload], directory: &Path) -> Result<Running> {
        let mut server = Server::start(contender, directory, self.computer)?;
        if let Some(one) = workloads.first() {
            server.client.fill(one.keys(), one.value)?;
        }
        let mut requests = Vec::new();
        for workload in workloads {
            let few = (workload.requests(0.0, 0.0) * 10).max(LEAST_TO_TIME);
            let rate = self.run(workload, few, &mut server)?.rate;
            requests.push(workload.requests(rate, self.seconds));
        }
        let none = Series { contender: contender.name().to_owned(), runs: Vec::new() };
        Ok(Running { server, requests, series: vec![none; workloads.len()] })
    }

    /// One run.
    fn run(&self, workload: &Workload, requests: u64, server: &mut Server) -> Result<Measurement> {
        let writers = self.writers(workload, server)?;
        let commands = server.client.commands()?;
        let before = server.used()?;
        let mut counters = self.counting.begin(server.process())?;
        let seen = load::run(workload, requests, server.port, self.redis, self.computer)?;
        let counted = counters.as_mut().map(Counters::read).transpose()?;
        let used = server.used()?.since(before);
        let commands = (server.client.commands()? - commands) as f64;
        drop(writers);
        Ok(Measurement {
            rate: seen.rate,
            p50: seen.p50,
            p99: seen.p99,
            processor: used.exact.as_secs_f64() * 1e6 / commands,
            kernel: used.kernel_share(),
            counted: counted
                .map(|it| Counts { cycles: it.cycles / commands, instructions: it.instructions / commands }),
        })
    }

    /// Starts the writers of a load, and waits until they write.
    fn writers(&self, workload: &Workload, server: &mut Server) -> Result<Option<Writers>> {
        if workload.writers == 0 {
            return Ok(None);
        }
        let before = server.client.commands()?;
        let writers = Writers(load::start_writers(workload, server.port, self.redis, self.computer)?);
        while server.client.commands()? < before + 100 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(writers))
    }
}

/// A contender that serves.
struct Running {
    server: Server,
    /// How many requests a run of each load has.
    requests: Vec<u64>,
    /// Its runs of each load.
    series: Vec<Series>,
}

/// Writers, which end with this.
struct Writers(Child);

impl Drop for Writers {
    fn drop(&mut self) {
        // They may have ended by themselves, with their server.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
