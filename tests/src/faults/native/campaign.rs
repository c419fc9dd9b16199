//! A campaign at processes, from this side: what is missing is ordered from a worker, and what it says is entered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::place::Place;
use super::strays::Strays;
use super::worker::{Order, Said};
use crate::faults::campaign::{Board, Work};
use crate::faults::places::WorkingSet;
use crate::faults::record::Group;
use crate::faults::runs::{CampaignOptions, Header, RUNS, Runs, known, missing};

/// The file with what came of directed strays, in the campaign's directory.
pub const STRAYS: &str = "strays.json";

/// The programs of a campaign.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The worker.
    pub worker: PathBuf,
    /// The store.
    pub store: PathBuf,
}

/// Carries a campaign out in `directory`, and returns all runs that are asked for.
///
/// # Errors
/// When there are runs there already that are not to be gone on with, or that are of another campaign; when the store
/// cannot be run, or the files not written.
pub fn run(programs: &Programs, options: &CampaignOptions, directory: &Path) -> io::Result<Runs> {
    let (known, checksum) = known(&programs.store, options, directory)?;
    let header = |working_set| Header::of(options, checksum, working_set);
    let runs = known.unwrap_or_else(|| Runs::begin(header(WorkingSet::default())));
    let missing = missing(options, &runs);
    let wanted = missing.len();
    let order = order(programs, options, missing, runs.header.working_set.clone(), None);
    let place = Place::of(&options.groups, options.smp);
    println!("{wanted} runs, {place}");
    // Only the worker knows what the first line of the file has to say.
    let (path, mut runs, mut board) = (directory.join(RUNS), Some(runs), None::<Board>);
    place.carry_out(&programs.worker, &order, &options.stop, |line| match (Said::parse(line)?, &mut board) {
        (Some(Said::Functions(set)), None) => {
            let records = runs.take().map(|runs| runs.records).unwrap_or_default();
            println!("{} functions", set.functions.len());
            board = Some(Board::new(Runs { header: header(set), records }, wanted, &path)?);
            Ok(())
        }
        (Some(Said::Run(record)), Some(board)) => board.enter(*record),
        (said, _) => pass_on(said, line),
    })?;
    let board = board.ok_or_else(|| io::Error::other("the worker has said nothing"))?;
    Ok(board.finish(options))
}

/// Has `options.count` directed strays made in each group, and writes down what came of them.
///
/// # Errors
/// When they cannot be made, or the file not be written.
pub fn strays(programs: &Programs, options: &CampaignOptions, directory: &Path) -> io::Result<Vec<(Group, Strays)>> {
    fs::create_dir_all(directory)?;
    let strays = Some((options.count, options.groups.clone()));
    let order = order(programs, options, Vec::new(), WorkingSet::default(), strays);
    let place = Place::of(&options.groups, options.smp);
    println!("{} directed strays in each group, {place}", options.count);
    let mut found = Vec::new();
    place.carry_out(&programs.worker, &order, &options.stop, |line| match Said::parse(line)? {
        Some(Said::Strays(group, strays)) => {
            found.push((group, strays));
            Ok(())
        }
        said => pass_on(said, line),
    })?;
    let groups: serde_json::Map<_, _> = found
        .iter()
        .map(|(group, strays)| Ok((group.name().to_owned(), serde_json::to_value(strays)?)))
        .collect::<io::Result<_>>()?;
    fs::write(directory.join(STRAYS), format!("{:#}\n", json!({ "seed": options.seed, "groups": groups })))?;
    Ok(found)
}

fn order(
    programs: &Programs,
    options: &CampaignOptions,
    missing: Vec<(u64, Group)>,
    working_set: WorkingSet,
    strays: Option<(u64, Vec<Group>)>,
) -> Order {
    let CampaignOptions { target, seed, jobs, .. } = *options;
    Order { store: programs.store.clone(), work: Work { target, seed, jobs, missing, working_set }, strays }
}

/// What is for people, and what ends the campaign.
fn pass_on(said: Option<Said>, line: &str) -> io::Result<()> {
    match said {
        None => println!("{line}"),
        Some(Said::Failed(why)) => return Err(io::Error::other(why)),
        Some(_) => return Err(io::Error::other(format!("nobody has asked for `{line}`"))),
    }
    Ok(())
}
