//! The program behind `cargo xtask crash`, which builds the images and starts it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use holdfast_tests::crash::explore::{self, Totals};
use holdfast_tests::crash::load::Size;
use holdfast_tests::crash::record::{Recording, Run};
use serde_json::json;
use xtask::crash::Plant;
use xtask::guest;
use xtask::size::MIB;

/// Boots a store under load, records what it does to persistent memory, and opens the images that power cuts could
/// leave.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask crash", bin_name = "cargo xtask crash")]
struct Cli {
    /// What the load follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Different images to open at least
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    images: u64,
    /// Processors of the guest
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    smp: u32,
    /// Boot an image with this defect, which has to be found
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Plant::find("kvstore", name))]
    plant: Option<Plant>,
    /// Explore a run that was recorded before, instead of a new one
    #[arg(long, value_name = "DIR", conflicts_with_all = ["smp", "plant", "output"])]
    replay: Option<PathBuf>,
    /// Where the run is kept [default: var/crash/seed-SEED]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads that open images [default: as many as there are processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// The length of the persistent memory: small, so that the pool cleans early, and images are opened fast.
const LENGTH: u64 = 2 * MIB;

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(&cli).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let say = |line: String| println!("{line}");
    let name = match &cli.plant {
        None => format!("seed-{}", cli.seed),
        Some(plant) => format!("seed-{}-{}", cli.seed, plant.defect.name),
    };
    let default = || xtask::workspace::root().join("var/crash").join(name);
    let directory = cli.replay.clone().or_else(|| cli.output.clone()).unwrap_or_else(default);
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let recording = if cli.replay.is_some() {
        Recording::load(&directory)?
    } else {
        let image = match &cli.plant {
            None => guest::quick_image("kvstore")?,
            Some(plant) => {
                say(format!("the image has a planted defect: {}", plant.defect.breaks));
                plant.image()?
            }
        };
        let size = Size { seed: cli.seed, clients: 3, lives: 3, phases: 3, pipelines: 60 };
        Run { size, length: LENGTH, smp: cli.smp }.record(&image, &directory, &say)?
    };
    let told = Arc::clone(&stop);
    xtask::signals::on_interrupt(move || told.store(true, Ordering::SeqCst))?;
    let jobs = cli.jobs.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from);
    let totals = explore::explore(&recording, explore::ExploreOptions { images: cli.images, jobs, stop: &stop }, &say)?;
    let finding = totals.violation.as_ref().map(|violation| violation.explain(&recording)).transpose()?;
    print(&totals, began.elapsed().as_secs_f64());
    let shown = xtask::workspace::display(&directory);
    if let Some(finding) = &finding {
        println!("\nVIOLATION: {}", finding.join("\n  "));
        println!("\nthe run is kept: cargo xtask crash --replay {shown}");
    }
    if let Some(path) = &cli.json {
        let result = json!({ "totals": totals, "violation": finding, "run": directory, "seed": cli.seed });
        fs::write(path, serde_json::to_string_pretty(&result)?)?;
    }
    if stop.load(Ordering::SeqCst) && finding.is_none() {
        return Err("it was stopped before its end".into());
    }
    if finding.is_none() && totals.images < cli.images {
        return Err(format!("the run has only {} different images, of {} asked for", totals.images, cli.images).into());
    }
    Ok(if finding.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(totals: &Totals, seconds: f64) {
    println!(
        "{} acknowledged operations, {} events, {} fences; the power was cut at {} places",
        totals.operations, totals.events, totals.fences, totals.places
    );
    println!(
        "{} crash images explored ({} more were repetitions); {} of the recovered pools were used further; {} images of cuts in \
         a recovery",
        totals.images, totals.repeated, totals.used, totals.in_recovery
    );
    println!("{} violations in {seconds:.0} s", u8::from(totals.violation.is_some()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parse("crash --plant write-back").unwrap().plant.unwrap().defect.name, "write-back");
        assert!(parse("crash --plant everything").is_err());
        assert!(parse("crash --replay x --plant fence").is_err());
    }
}
