//! `cargo xtask bench native`: the store on Linux beside other servers, on this computer, without an emulator.
//!
//! The server has a processor of its own, the load another, where there are two.

mod process;
mod targets;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::computer::{self, Computer};
use super::document::Document;
use super::grants::Grants;
use super::hardware::Counting;
use super::redis::{Log, Redis};
use super::report::Report;
use super::server::Contender;
use super::session::Session;
use super::workload::Group;
use super::{Runs, STORE, version};
use crate::cargo::host_cargo;
use crate::{keys, workspace};
use process::Program;

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
    /// How long.
    pub runs: Runs,
    /// The document that shows the results, if they are to be written into one.
    pub document: Option<PathBuf>,
}

/// The loads, if nothing else is said.
pub const GROUPS: [Group; 3] = [Group::Standard, Group::Mixed, Group::Sizes];

/// What the store is called without protection where there is a choice.
const UNPROTECTED: &str = "store, no protection";

/// Measures.
///
/// # Errors
/// When something is missing, or a server fails.
pub fn measure(options: &Options) -> Result<Report> {
    // It should be known before all the work whether there is a place for its results.
    let open = |path| Document::open(path, "bench native");
    let document = options.document.as_deref().map(open).transpose()?;
    let redis = Redis::fetch()?;
    let (computer, counting) = (Computer::this()?, Counting::find_out());
    let contenders = contenders(build()?, options.against.as_ref(), &redis)?;
    let mut session = Session::new(&contenders, &redis, &computer, &counting, options.runs);
    let mut rows = Vec::new();
    for &place in &options.places {
        rows.extend(session.rows(&options.groups, place.name(), &place.directory())?);
    }
    let targets = options.places.iter().map(|place| (place.name(), targets::targets(&rows, place.name())));
    let report = Report {
        configuration: configuration(options, &session)?,
        grants: Some(Grants::measure(&Place::Tmpfs.directory())?),
        targets: targets.collect(),
        rows,
    };
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

fn contenders(program: PathBuf, against: Option<&Against>, redis: &Redis) -> Result<Vec<Box<dyn Contender>>> {
    let store = |name: &str, program: &Path, protection| -> Box<dyn Contender> {
        let (name, program) = (name.to_owned(), program.to_owned());
        Box::new(Program::Store { name, program, protection })
    };
    let protection = if keys::are_here() { "pku" } else { "none" };
    let mut contenders = vec![store(STORE, &program, protection)];
    if keys::are_here() {
        contenders.push(store(UNPROTECTED, &program, "none"));
    }
    match against {
        None => {}
        Some(Against::Redis) => {
            let of = |log| -> Box<dyn Contender> { Box::new(Program::Redis { redis: redis.clone(), log }) };
            contenders.extend(Log::ALL.map(of));
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
    let keys = if keys::are_here() { "yes" } else { "none: the store runs without protection" };
    let pinned = match session.computer.processors {
        Some([server, load]) => format!("the server on processor {server}, the load on processor {load}"),
        None => "server and load share the only processor".to_owned(),
    };
    configuration.push(("protection keys".to_owned(), keys.to_owned()));
    configuration.push(("pinned".to_owned(), pinned));
    for place in &options.places {
        configuration.push((place.name().to_owned(), computer::file_system(&place.directory())?));
    }
    configuration.push(("store".to_owned(), version()));
    configuration.extend(session.description()?);
    Ok(configuration)
}
