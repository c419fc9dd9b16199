//! `--native`: the campaign at a store that is a process of Linux.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use holdfast_tests::faults::native::campaign::{self, Programs, STRAYS};
use holdfast_tests::faults::runs::{CampaignOptions, Runs};
use xtask::faults::STORE_VARIABLE;
use xtask::workspace;

/// This program, which is the worker as well, and the store beside it.
fn programs() -> Result<Programs, Box<dyn std::error::Error>> {
    let worker = std::env::current_exe()?;
    let beside = || worker.with_file_name("kvstore");
    let store = std::env::var_os(STORE_VARIABLE).map_or_else(beside, PathBuf::from);
    if !store.is_file() {
        return Err(format!("there is no {}: `cargo xtask faults --native` builds it", store.display()).into());
    }
    Ok(Programs { worker, store })
}

/// Makes the runs that are asked for.
pub(crate) fn run(options: &CampaignOptions, directory: &Path) -> Result<Runs, Box<dyn std::error::Error>> {
    Ok(campaign::run(&programs()?, options, directory)?)
}

/// Makes directed strays, and fails unless all that a key has to deny were denied, and all others stored.
pub(crate) fn strays(options: &CampaignOptions, directory: &Path) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let found = campaign::strays(&programs()?, options, directory)?;
    for (group, strays) in &found {
        println!("{}: {} strays, {} denied, {} stored", group.name(), strays.count, strays.denied, strays.stored);
        strays.odd.iter().for_each(|odd| println!("error: {odd}"));
        if !strays.whole {
            println!("error: in the end the devices were not as before");
        }
    }
    println!("for machines: {}/{STRAYS}", workspace::display(directory));
    let is_good = found.len() == options.groups.len() && found.iter().all(|(group, strays)| strays.is_good(*group));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
