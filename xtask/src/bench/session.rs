//! A session: the contenders under one load in turns, round by round, so that what else the computer does meets all.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Runs;
use super::computer::Computer;
use super::hardware::{Counters, Counting, Counts};
use super::load;
use super::redis::Redis;
use super::rows::{Measurement, Row, Series};
use super::server::{Contender, Server, Used};
use super::workload::{Group, Workload};
use crate::output::say;
use crate::resp::Client;

/// Requests that take long enough for the load to tell how many it made a second: its clock has milliseconds.
const LEAST_TO_TIME: u64 = 1000;
/// How long a server may leave a question unanswered, once it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a session goes.
#[derive(Debug)]
pub struct Session<'a> {
    /// Who takes part; the store comes first.
    contenders: &'a [Box<dyn Contender>],
    /// Who makes the load.
    redis: &'a Redis,
    /// Where.
    pub computer: &'a Computer,
    /// What the processor can be asked.
    counting: &'a Counting,
    runs: Runs,
    /// What servers have told of themselves.
    told: Vec<(String, String)>,
}

impl<'a> Session<'a> {
    /// One of these contenders.
    pub fn new(
        contenders: &'a [Box<dyn Contender>],
        redis: &'a Redis,
        computer: &'a Computer,
        counting: &'a Counting,
        runs: Runs,
    ) -> Self {
        Self { contenders, redis, computer, counting, runs, told: Vec::new() }
    }

    /// Measures all contenders under all loads of these groups in turn, in a place of this name, with their files in
    /// `directory`.
    ///
    /// # Errors
    /// When a server or the load fails.
    pub fn rows(&mut self, groups: &[Group], place: &'static str, directory: &Path) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for workloads in groups.iter().flat_map(|&group| Workload::sets(group)) {
            workloads.iter().for_each(|workload| say(format_args!("{place}: {workload}")));
            let series = self.measure(&workloads, directory)?;
            rows.extend(workloads.into_iter().zip(series).map(|(workload, series)| Row { place, workload, series }));
        }
        Ok(rows)
    }

    /// What figures depend on, as far as the session knows it: names and values.
    ///
    /// # Errors
    /// When Redis does not say which it is.
    pub fn description(&self) -> Result<Vec<(String, String)>> {
        let Runs { rounds, seconds } = self.runs;
        let mut description = self.told.clone();
        description.push(("counted".to_owned(), self.counting.to_string()));
        description.push(("Redis".to_owned(), format!("{}, Debian's", self.redis.version()?)));
        let runs = format!("{rounds} of about {seconds} s for each server and load, in turns");
        description.push(("runs".to_owned(), runs));
        for contender in self.contenders {
            description.push((format!("command, {}", contender.name()), contender.command()));
        }
        let load = load::arguments(&Workload::of(Group::Standard)[0], 100_000, ([127, 0, 0, 1], 6379).into());
        description.push(("load, for example".to_owned(), format!("redis-benchmark {}", load.join(" "))));
        Ok(description)
    }

    /// Measures all contenders under a set of loads. For each load: what each did.
    fn measure(&mut self, workloads: &[Workload], directory: &Path) -> Result<Vec<Vec<Series>>> {
        let directory = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(directory)?;
        let mut running = Vec::new();
        for (number, contender) in self.contenders.iter().enumerate() {
            let of_its_own = directory.path().join(number.to_string());
            fs::create_dir(&of_its_own)?;
            running.push(self.start(contender.as_ref(), workloads, &of_its_own)?);
        }
        for (name, value) in running.iter().flat_map(|it| it.server.told()) {
            if self.told.iter().all(|(known, _)| *known != name) {
                self.told.push((name, value));
            }
        }
        for _ in 0..self.runs.rounds {
            for (number, workload) in workloads.iter().enumerate() {
                for it in &mut running {
                    it.server.resume()?;
                    let run = self.run(workload, it.requests[number], it.server.as_ref(), &mut it.client)?;
                    it.server.pause()?;
                    it.series[number].runs.push(run);
                }
            }
        }
        let by_load = |number: usize| running.iter().map(|it| it.series[number].clone()).collect();
        Ok((0..workloads.len()).map(by_load).collect())
    }

    /// Starts a contender, fills it, and finds out how much it can do under each load, which warms it up too. Then it
    /// is paused.
    fn start(&self, contender: &dyn Contender, workloads: &[Workload], directory: &Path) -> Result<Running> {
        let mut server = contender.start(directory, self.computer)?;
        let mut client = Client::connect(server.address(), PATIENCE)?;
        if let Some(one) = workloads.first() {
            client.fill(one.keys(), one.value)?;
        }
        let mut requests = Vec::new();
        for workload in workloads {
            let few = (workload.requests(0.0, 0.0) * 10).max(LEAST_TO_TIME);
            let rate = self.run(workload, few, server.as_ref(), &mut client)?.rate;
            requests.push(workload.requests(rate, self.runs.seconds));
        }
        server.pause()?;
        let none = Series { contender: contender.name().to_owned(), runs: Vec::new() };
        Ok(Running { server, client, requests, series: vec![none; workloads.len()] })
    }

    /// One run.
    fn run(&self, workload: &Workload, requests: u64, server: &dyn Server, client: &mut Client) -> Result<Measurement> {
        let commands = client.commands()?;
        let before = Used::by(server.process())?;
        let mut counters = self.counting.begin(server.process())?;
        let seen = load::run(workload, requests, server.address(), self.redis, self.computer)?;
        let counted = counters.as_mut().map(Counters::read).transpose()?;
        let used = Used::by(server.process())?.since(before);
        let commands = (client.commands()? - commands) as f64;
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
}

/// A contender that serves.
struct Running {
    server: Box<dyn Server>,
    /// A connection to it.
    client: Client,
    /// How many requests a run of each load has.
    requests: Vec<u64>,
    /// Its runs of each load.
    series: Vec<Series>,
}
