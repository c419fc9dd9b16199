//! The program behind `cargo xtask faults`, which builds the images and starts it.

mod directed;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use holdfast_tests::faults::windows;
use xtask::qemu::Protection;

/// Injects faults into a running store and judges what they leave in persistent memory.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
struct Cli {
    /// Count the instructions that are executed while persistent memory can be written to, for one SET and for sixteen
    #[arg(long)]
    windows: bool,
    #[command(flatten)]
    directed: directed::Options,
    /// Only with this backend [default: all]
    #[arg(long, value_parser = ["pks", "pku", "none"])]
    protection: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.windows {
        return print_windows();
    }
    if cli.directed.directed {
        return directed::run(&cli.directed, cli.protection.as_deref()).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        });
    }
    // Nothing was asked for.
    eprintln!("{}", Cli::command().render_help());
    ExitCode::FAILURE
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
