//! `cargo xtask`: the one entry point to build, run, test and check Holdfast.

mod cli;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{BenchCommand, Cli, Command, PoolCommand};
use xtask::setup::toolchain::Choice;
use xtask::{check, faults, pool, run, setup, test};

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out `command` and returns the exit status.
fn execute(command: Command) -> Result<u8> {
    match command {
        Command::Setup { toolchain } => {
            let tools = [setup::QEMU, setup::REDIS_CLI, setup::REDIS_BENCHMARK];
            let toolchain = setup::ensure(Choice::resolve(toolchain.toolchain)?, &tools)?;
            println!("everything is there; the guest is built by {}", toolchain.description());
            Ok(0)
        }
        Command::Run(arguments) => run::run(arguments.options()?),
        Command::Test { filter, toolchain } => test::test(filter.as_deref(), Choice::resolve(toolchain.toolchain)?),
        Command::Faults { options, toolchain } => faults::faults(&options, Choice::resolve(toolchain.toolchain)?),
        Command::Check { toolchain } => check::check(Choice::resolve(toolchain.toolchain)?),
        Command::Bench { command: BenchCommand::Pool { keys, json } } => {
            let costs = pool::bench::measure(keys)?;
            if json {
                println!("{:#}", costs.to_json());
            } else {
                println!("{costs}");
            }
            Ok(u8::from(!costs.excesses().is_empty()))
        }
        Command::Pool { command: PoolCommand::Info { file } } => {
            println!("{}", pool::info(&file)?);
            Ok(0)
        }
    }
}
