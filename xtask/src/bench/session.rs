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
use super::rows::{Measurement, Series};
use super::server::{Contender, Server};
use super::workload::Workload;

/// Requests that take long enough for the load to tell how many it made a second: its clock has milliseconds.
const LEAST_TO_TIME: u64 = 1000;

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
