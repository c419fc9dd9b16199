//! The program behind `cargo xtask faults`, which builds the images and starts it.

mod directed;
mod native;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use holdfast_tests::faults::campaign;
use holdfast_tests::faults::native::worker;
use holdfast_tests::faults::plan::Target;
use holdfast_tests::faults::record::Group;
use holdfast_tests::faults::report::{PAGE, SUMMARY, Summary};
use holdfast_tests::faults::runs::{CampaignOptions, RUNS};
use holdfast_tests::faults::windows;
use xtask::guest;
use xtask::qemu::Protection;

/// Injects faults into a running store and judges what they leave in persistent memory.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
struct Cli {
    /// Runs of each group; with --native --directed, strays of each group
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// Inject faults into a store that is a process of Linux: on this computer if its processor has protection keys,
    /// else on Debian's kernel in QEMU; with --directed, have it make single stray stores
    #[arg(long, conflicts_with = "windows")]
    native: bool,
    /// What a campaign with --native starts
    #[arg(long, value_name = "ORDER", hide = true)]
    worker: Option<PathBuf>,
    /// What every random choice follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only with this protection, or with all that there are [default: all with --directed; else pks, or pku with
    /// --native, and none as the control group]
    #[arg(long, value_parser = ["pks", "pku", "none", "all"])]
    protection: Option<String>,
    /// Processors of the guest, or of the machine that the store's process runs in
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    smp: u32,
    /// Go on with the runs that are in the output directory
    #[arg(long)]
    resume: bool,
    /// Where the runs and the report go [default: var/faults/seed-SEED]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Count the instructions that are executed while persistent memory can be written to, for one SET and for sixteen
    #[arg(long)]
    windows: bool,
    #[command(flatten)]
    directed: directed::DirectedOptions,
}

impl Cli {
    /// The groups of a campaign, each of which gets the same faults.
    fn groups(&self) -> Vec<Group> {
        match self.protection.as_deref() {
            Some("pku") => vec![Group::Pku],
            Some("none") => vec![Group::None],
            _ if self.native => vec![Group::Pku, Group::None],
            Some("pks") => vec![Group::Pks],
            Some(_) => vec![Group::Pks, Group::Pku, Group::None],
            None => vec![Group::Pks, Group::None],
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.windows {
        return print_windows();
    }
    if let Some(order) = &cli.worker {
        return match worker::work(order) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    if cli.directed.directed && !cli.native {
        let protection = cli.protection.as_deref().filter(|&protection| protection != "all");
        return directed::run(&cli.directed, protection).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        });
    }
    run(&cli).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if cli.native && cli.protection.as_deref() == Some("pks") {
        return Err("--protection pks: a process of Linux has pku or none".into());
    }
    let target = if cli.native { Target::Native } else { Target::Guest };
    let name = if cli.native { "native-seed" } else { "seed" };
    let default = || xtask::workspace::root().join(format!("var/faults/{name}-{}", cli.seed));
    let directory = cli.output.clone().unwrap_or_else(default);
    let number = |text: &String| text.parse().map_err(|_| format!("--only {text}: the number of a run is asked for"));
    let only = cli.directed.only.as_ref().map(number).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    xtask::signals::on_interrupt(move || told.store(true, Ordering::SeqCst))?;
    let options = CampaignOptions {
        target,
        seed: cli.seed,
        count: cli.count,
        only,
        groups: cli.groups(),
        smp: cli.smp,
        jobs: cli.directed.jobs(),
        resume: cli.resume,
        stop,
    };
    if cli.native && cli.directed.directed {
        return native::strays(&options, &directory);
    }
    let runs = match target {
        Target::Native => native::run(&options, &directory)?,
        Target::Guest => campaign::run(&guest::quick_image("kvstore")?, &options, &directory)?,
    };
    if only.is_some() {
        runs.records.values().for_each(|record| println!("{record:#?}"));
        return Ok(ExitCode::SUCCESS);
    }
    let protected = options.groups.iter().any(|group| group.is_protected());
    let windows = if protected && target == Target::Guest { windows::measure(Protection::Pks)? } else { Vec::new() };
    let summary = Summary::new(&runs, windows);
    summary.write(&runs, &directory)?;
    summary.print();
    let directory = xtask::workspace::display(&directory);
    println!("the report: {directory}/{PAGE}, for machines: {directory}/{SUMMARY}, every run: {directory}/{}", RUNS);
    Ok(if summary.verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_windows() -> ExitCode {
    match windows::measure(Protection::Pks) {
        Ok(all) => {
            all.iter().for_each(|windows| println!("{windows}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: the guest cannot be followed: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_campaign_has_its_control_group_unless_told_otherwise() {
        assert_eq!(parse("faults").groups(), [Group::Pks, Group::None]);
        assert_eq!(parse("faults --protection pku").groups(), [Group::Pku]);
        assert_eq!(parse("faults --native").groups(), [Group::Pku, Group::None]);
        assert_eq!(parse("faults --native --protection none").groups(), [Group::None]);
        assert_eq!(parse("faults --native --protection all").groups(), [Group::Pku, Group::None]);
        assert_eq!(parse("faults --protection all --count 7").groups(), [Group::Pks, Group::Pku, Group::None]);
        assert!(Cli::try_parse_from(["faults", "--protection", "some"]).is_err());
        assert!(Cli::try_parse_from(["faults", "--smp", "0"]).is_err());
    }
}
