//! A session: the contenders under one load in turns, round by round, so that what else the computer does meets all.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::computer::Computer;
use super::load;
use super::redis::Redis;
use super::server::{Contender, Server};
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
}

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
    pub fn spread(&self, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().map(figure))
    }

    /// A figure of each run divided by that of the other's in the same round.
    pub fn ratio(&self, other: &Self, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(mine, its)| figure(mine) / figure(its)))
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
    /// How many runs each has.
    pub rounds: u32,
    /// How long each is to last, about.
    pub seconds: f64,
}

impl Session<'_> {
    /// Measures all contenders under a load, with their files in `directory`.
    ///
    /// # Errors
    /// When a server or the load fails.
    pub fn measure(&self, workload: &Workload, directory: &Path) -> Result<Vec<Series>> {
        let directory = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(directory)?;
        let mut running = Vec::new();
        for (number, contender) in self.contenders.iter().enumerate() {
            let mut server = Server::start(contender, &directory.path().join(number.to_string()), self.computer)?;
            server.client.fill(workload.keys(), workload.value)?;
            // It warms the server up, and tells how much it can do.
            let few = workload.requests(0.0, 0.0) * 10;
            let rate = load::run(workload, few, server.port, self.redis, self.computer)?.rate;
            let requests = workload.requests(rate, self.seconds);
            running.push((server, requests, Series { contender: contender.name().to_owned(), runs: Vec::new() }));
        }
        for _ in 0..self.rounds {
            for (server, requests, series) in &mut running {
                series.runs.push(self.run(workload, *requests, server)?);
            }
        }
        Ok(running.into_iter().map(|(_, _, series)| series).collect())
    }

    /// One run.
    fn run(&self, workload: &Workload, requests: u64, server: &mut Server) -> Result<Measurement> {
        let writers = self.writers(workload, server)?;
        let commands = server.client.commands()?;
        let before = server.processor_time()?;
        let seen = load::run(workload, requests, server.port, self.redis, self.computer)?;
        let worked = server.processor_time()? - before;
        let commands = server.client.commands()? - commands;
        drop(writers);
        let processor = worked.as_secs_f64() * 1e6 / commands as f64;
        Ok(Measurement { rate: seen.rate, p50: seen.p50, p99: seen.p99, processor })
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

    #[test]
    fn runs_of_the_same_round_are_compared() {
        let series = |rates: [f64; 3]| Series {
            contender: String::new(),
            runs: rates.map(|rate| Measurement { rate, p50: 1.0, p99: 2.0, processor: 3.0 }).into(),
        };
        // The computer got slower by the half in the third round, for both.
        let (one, other) = (series([100.0, 110.0, 50.0]), series([50.0, 50.0, 25.0]));
        let ratio = one.ratio(&other, |run| run.rate).unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (2.0, 2.0, 2.2));
        assert_eq!(one.spread(|run| run.rate).unwrap().median, 100.0);
    }
}
