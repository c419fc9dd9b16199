//! `cargo xtask`: the one entry point to build, run, test and check Holdfast.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic when nobody reads: say it by `output`")]

mod cli;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use cli::{BenchCommand, Cli, Command, PoolCommand, Results};
use xtask::boot::{self, BootOptions};
use xtask::counts::{BudgetAction, Budgets};
use xtask::setup::toolchain::Choice;
use xtask::{
    bench, check, counts, crash, faults, fuzz, miri, native, new, output, paths, pool, recovery, run, setup, test,
    workspace,
};

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::warn(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Carries out `command` and returns the exit status.
fn execute(command: Command) -> Result<u8> {
    // These need nothing but what they are given.
    if !matches!(command, Command::Boot { .. } | Command::Pool { .. }) {
        workspace::check_root()?;
    }
    match command {
        Command::Setup { toolchain } => {
            let toolchain = setup::ensure(Choice::resolve(toolchain.toolchain)?, &setup::FOR_TESTS)?;
            native::prepare();
            output::say(format_args!("everything is there; the guest is built by {}", toolchain.description()));
            Ok(0)
        }
        Command::Run(arguments) => run::run(arguments.options()?),
        Command::New { name } => {
            new::create(workspace::root(), &name)?;
            output::say(format_args!("made apps/{name}; run it with: cargo xtask run --app {name}"));
            Ok(0)
        }
        Command::Test { filter, smp, toolchain } => {
            test::test(filter.as_deref(), smp, Choice::resolve(toolchain.toolchain)?)
        }
        Command::GuestTest { smp, memory, toolchain, arguments } => {
            boot::guest_test(&arguments, smp, memory, Choice::resolve(toolchain.toolchain)?)
        }
        Command::Boot { smp, memory, no_net, image, arguments } => {
            boot::boot(BootOptions { image, arguments, smp, memory, network: !no_net })
        }
        Command::Faults { options, toolchain } => faults::faults(&options, Choice::resolve(toolchain.toolchain)?),
        Command::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        Command::Miri => miri::miri(),
        Command::Crash { options, toolchain } => crash::crash(&options, Choice::resolve(toolchain.toolchain)?),
        Command::Check { name, toolchain } => check::check(name.as_deref(), Choice::resolve(toolchain.toolchain)?),
        Command::Bench { command, guest } => measure(command.unwrap_or(BenchCommand::Guest(guest))),
        Command::Pool { command } => look_at_pool(command),
    }
}

/// Measures.
fn measure(command: BenchCommand) -> Result<u8> {
    match command {
        BenchCommand::Guest(arguments) => {
            let choice = Choice::resolve(arguments.toolchain.toolchain)?;
            show(&arguments.results, || bench::guest::measure(&arguments.options(), choice))
        }
        BenchCommand::Pool { keys, json } => {
            let costs = pool::bench::measure(keys)?;
            if json {
                say(&format!("{:#}", costs.to_json()))?;
            } else {
                say(&costs.to_string())?;
            }
            Ok(u8::from(!costs.excesses().is_empty()))
        }
        BenchCommand::Paths { json, toolchain } => {
            let counts = paths::measure(Choice::resolve(toolchain.toolchain)?)?;
            if json {
                say(&format!("{:#}", counts.to_json()))?;
            } else {
                say(&counts.to_string())?;
            }
            Ok(u8::from(!counts.excesses().is_empty()))
        }
        BenchCommand::Counts { budgets: Some(action), toolchain, .. } => {
            let image = counts::build(Choice::resolve(toolchain.toolchain)?)?;
            let budgets = match action {
                BudgetAction::Check => Budgets::count(&image)?,
                BudgetAction::Record => Budgets::record(&image)?,
            };
            say(&budgets.to_string())?;
            Ok(u8::from(!budgets.excesses().is_empty()))
        }
        BenchCommand::Counts { loads, requests, keys, machine, json, compare, toolchain, .. } => {
            let earlier = compare.as_deref().map(counts::Earlier::load).transpose()?;
            let with_details = !loads.is_empty();
            let loads =
                all_if_none(loads).into_iter().map(|load| (load, requests.unwrap_or(load.requests()))).collect();
            let options =
                counts::Options { loads, keys, protection: machine.protection, network: machine.net.network() };
            let report = counts::measure(&options, Choice::resolve(toolchain.toolchain)?)?;
            write_json(json.as_deref(), &report.to_json())?;
            say(&report.to_string())?;
            if with_details {
                say(&report.details())?;
            }
            if let Some(earlier) = earlier {
                say(&earlier.compare(&report))?;
            }
            Ok(0)
        }
        BenchCommand::Native { against, places, groups, results } => {
            let options = bench::native::Options {
                against: against.as_deref().map(bench::native::Against::of),
                places: all_if_none(places),
                groups: if groups.is_empty() { bench::native::GROUPS.to_vec() } else { groups },
                runs: results.runs(),
                document: results.write.clone(),
            };
            show(&results, || bench::native::measure(&options))
        }
        BenchCommand::Boot { boots, against, usual_firmware, memory, json, toolchain } => {
            let options = bench::boot::Options { boots, against, usual_firmware, memory };
            let report = bench::boot::measure(&options, Choice::resolve(toolchain.toolchain)?)?;
            if json {
                say(&format!("{:#}", report.to_json()))?;
            } else {
                say(&report.to_string())?;
            }
            Ok(0)
        }
        BenchCommand::Recovery { keys, smp, no_redis, json, toolchain } => {
            let recovery = recovery::measure(keys, smp, !no_redis, Choice::resolve(toolchain.toolchain)?)?;
            if json {
                say(&format!("{:#}", recovery.to_json()))?;
            } else {
                say(&recovery.to_string())?;
            }
            Ok(u8::from(!recovery.keeps_target()))
        }
    }
}

/// Measures servers beside each other, and shows what came of it as asked for.
fn show(results: &Results, measure: impl FnOnce() -> Result<bench::Report>) -> Result<u8> {
    let earlier = results.compare.as_deref().map(bench::Earlier::load).transpose()?;
    let report = measure()?;
    write_json(results.json.as_deref(), &report.to_json())?;
    say(&report.to_string())?;
    if let Some(earlier) = earlier {
        say(&earlier.compare(&report))?;
    }
    Ok(0)
}

/// Carries out a command on an image.
fn look_at_pool(command: PoolCommand) -> Result<u8> {
    match command {
        PoolCommand::Info { file, json } => say(&pool::info(&file, json)?)?,
        PoolCommand::Check { file, repair, json } => {
            let verdict = pool::check(&file, repair, json)?;
            say(&verdict.text)?;
            return Ok(u8::from(!verdict.sound));
        }
        PoolCommand::Dump { file, json } => {
            let mut out = BufWriter::new(stdout().lock());
            let dumped = pool::dump(&file, json, &mut out).and_then(|(_, unreadable)| {
                out.flush()?;
                Ok(unreadable)
            });
            return match dumped {
                Err(error) if error.downcast_ref().is_some_and(is_closed) => Ok(0),
                dumped => Ok(u8::from(dumped? > 0)),
            };
        }
        PoolCommand::Load { file, lines, json } => {
            let keys = match &lines {
                Some(lines) => {
                    let open = File::open(lines).with_context(|| format!("cannot open {}", lines.display()))?;
                    pool::load(&file, BufReader::new(open))?
                }
                None => pool::load(&file, stdin().lock())?,
            };
            match json {
                true => say(&format!("{{\"keys\": {keys}}}"))?,
                false => say(&format!("put {keys} keys into {}", file.display()))?,
            }
        }
        PoolCommand::Migrate { file } => say(&pool::migrate(&file)?)?,
        PoolCommand::Grow { file, size } => say(&pool::grow(&file, size)?)?,
        PoolCommand::Create { file, size, label, segment_size, json } => {
            pool::create(&file, size, &label, segment_size)?;
            say(&pool::info(&file, json)?)?;
        }
    }
    Ok(0)
}

/// Writes a report to a file, if there is to be one.
fn write_json(file: Option<&Path>, report: &serde_json::Value) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, format!("{report:#}\n")).with_context(|| format!("cannot write {}", file.display()))
}

/// What was chosen, or all that could be.
fn all_if_none<T: ValueEnum>(chosen: Vec<T>) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen }
}

/// Prints `text`, which is what was asked for. A reader that has seen enough, as `head` has, is no error.
fn say(text: &str) -> Result<()> {
    match writeln!(stdout().lock(), "{text}") {
        Err(error) if !is_closed(&error) => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// Whether nobody reads what is printed any more.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
