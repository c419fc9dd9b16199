//! `cargo xtask bench native`: the store on Linux beside other servers, on this computer, without an emulator.
//!
//! Other work on the computer changes what is measured. So the contenders take turns, each figure is a median of
//! several runs with its spread, and the ratios are medians of those in each round. The server has a processor of its
//! own, the load another, where there are two. The processor time is the server's alone, and the steadiest figure.

mod computer;
mod document;
mod grants;
mod hardware;
mod load;
mod plots;
mod redis;
mod report;
mod rows;
mod server;
mod session;
mod statistics;
mod targets;
mod workload;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cargo::host_cargo;
use crate::output::say;
use crate::{keys, workspace};
use computer::Computer;
use document::Document;
use grants::Grants;
use hardware::Counting;
use redis::{Log, Redis};
pub use report::Report;
use rows::Row;
use server::Contender;
use session::Session;
pub use workload::Group;
use workload::Workload;

/// Where the servers' files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In RAM: /dev/shm
    Tmpfs,
    /// On the disk that cargo's output is on
    Disk,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Disk => "disk",
        }
    }

    fn directory(self) -> PathBuf {
        match self {
            Self::Tmpfs => PathBuf::from("/dev/shm"),
            Self::Disk => workspace::target_directory(),
        }
    }
}

/// What the store is measured beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// Debian's Redis: with `appendfsync always`, with `everysec`, and without a log.
    Redis,
    /// Another build of the store.
    Store(PathBuf),
}

impl Against {
    /// What a word on the command line means.
    pub fn of(word: &str) -> Self {
        if word == "redis" { Self::Redis } else { Self::Store(PathBuf::from(word)) }
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// What else is measured in turns with the store.
    pub against: Option<Against>,
    /// Where the files are, in turn.
    pub places: Vec<Place>,
    /// The loads.
    pub groups: Vec<Group>,
    /// Runs of each server under each load.
    pub rounds: u32,
    /// How long each lasts, about.
    pub seconds: f64,
    /// The document that shows the results, if they are to be written into one.
    pub document: Option<PathBuf>,
}

/// What the store is called here, and without protection where there is a choice.
const STORE: &str = "store";
const UNPROTECTED: &str = "store, no protection";

/// Measures.
///
/// # Errors
/// When something is missing, or a server fails.
pub fn measure(options: &Options) -> Result<Report> {
    // It should be known before all the work whether there is a place for its results.
    let document = options.document.as_deref().map(Document::open).transpose()?;
    let redis = Redis::fetch()?;
    let (computer, counting) = (Computer::this()?, Counting::find_out());
    let contenders = contenders(build()?, options.against.as_ref(), &redis)?;
    let session = Session {
        contenders: &contenders,
        redis: &redis,
        computer: &computer,
        counting: &counting,
        rounds: options.rounds,
        seconds: options.seconds,
    };
    let mut rows = Vec::new();
    for &place in &options.places {
        for workloads in options.groups.iter().flat_map(|&group| Workload::sets(group)) {
            workloads.iter().for_each(|workload| say(format_args!("{}: {workload}", place.name())));
            let series = session.measure(&workloads, &place.directory())?;
            let row = |(workload, series)| Row { place: place.name(), workload, series };
            rows.extend(workloads.into_iter().zip(series).map(row));
        }
    }
    let grants = Grants::measure(&Place::Tmpfs.directory())?;
    let report = Report { configuration: configuration(options, &session)?, rows, grants };
    if let Some(document) = document {
        document.write(&report)?;
    }
    Ok(report)
}

/// Builds the store.
fn build() -> Result<PathBuf> {
    let status =
        host_cargo("build").args(["--release", "--package", "kvstore"]).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the store does not build");
    }
    Ok(workspace::target_directory().join("release/kvstore"))
}

fn contenders(program: PathBuf, against: Option<&Against>, redis: &Redis) -> Result<Vec<Contender>> {
    let store = |name: &str, program: &Path, protection| {
        let (name, program) = (name.to_owned(), program.to_owned());
        Contender::Store { name, program, protection }
    };
    let protection = if keys::are_here() { "pku" } else { "none" };
    let mut contenders = vec![store(STORE, &program, protection)];
    if keys::are_here() {
        contenders.push(store(UNPROTECTED, &program, "none"));
    }
    match against {
        None => {}
        Some(Against::Redis) => {
            contenders.extend(Log::ALL.map(|log| Contender::Redis { redis: redis.clone(), log }));
        }
        Some(Against::Store(program)) => {
            let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
            contenders.push(store("the other store", &program, protection));
        }
    }
    Ok(contenders)
}

/// All that the figures depend on: names and values.
fn configuration(options: &Options, session: &Session) -> Result<Vec<(String, String)>> {
    let mut configuration = computer::description(session.computer)?;
    for place in &options.places {
        configuration.push((place.name().to_owned(), computer::file_system(&place.directory())?));
    }
    configuration.push(("counted".to_owned(), session.counting.to_string()));
    configuration.push(("store".to_owned(), format!("{}, {}", env!("CARGO_PKG_VERSION"), commit())));
    configuration.push(("Redis".to_owned(), format!("{}, Debian's", session.redis.version()?)));
    let runs = format!("{} of about {} s for each server and load, in turns", options.rounds, options.seconds);
    configuration.push(("runs".to_owned(), runs));
    for contender in session.contenders {
        let command = contender.command(Path::new("DIRECTORY"), 6379);
        configuration.push((format!("command, {}", contender.name()), shown(&command)));
    }
    let load = load::arguments(&Workload::of(Group::Standard)[0], 100_000, 6379);
    configuration.push(("load, for example".to_owned(), format!("redis-benchmark {}", load.join(" "))));
    Ok(configuration)
}

/// Which commit the store is built from.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace::root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "commit unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    format!("commit {commit}{}", if changed { " with changes" } else { "" })
}

/// A command as a person would type it, its program by name.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy());
    let words: Vec<_> = words.collect();
    // Redis is started by its loader: what comes before its own name is the loader's.
    let first = words.iter().rposition(|word| word.starts_with('/') && !word.contains(':')).unwrap_or(0);
    let name = Path::new(words[first].as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let quoted = |word: &str| if word.is_empty() { "\"\"".to_owned() } else { word.to_owned() };
    [name].into_iter().chain(words[first + 1..].iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
}
