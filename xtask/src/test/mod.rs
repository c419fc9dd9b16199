//! `cargo xtask test`: the stages of testing, and their totals.
//!
//! The stage `host` tests what runs without an emulator. The stage `guest` builds the guest programs and boots them.
//! The stage `std` runs Rust's own library tests in the guest: those of std, which libos can break; those of core and
//! alloc too when it is named. The stage `native` runs the tests of `pmem` on Linux under hardware keys and on
//! NVDIMMs; when it is named, those that inject faults into the store as a process, too.
//! The stage `pool`, which runs only when it is named, tests `pmem` optimised and at full strength: a hundred thousand
//! power cuts, and mutants of the pool that the tests must find. The stage `soak`, which runs only when it is named,
//! keeps a machine under load for ten minutes, or `HOLDFAST_SOAK_SECONDS`, and looks for what is left. The stage
//! `hostile`, which runs only when it is named, tries on machines of all sizes what clients do to bring a store down.
//! The stage `clients`, which runs only when it is named, has other people's client libraries use the store. A stage
//! in which no test ran has not tested anything, and counts as a failure.

mod images;
mod select;

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::cargo::{BOOTING_TESTS, TEST_PROGRAMS, host_cargo};
use crate::clients::{self, CLIENTS_VARIABLE};
use crate::guest::{self, Profile};
use crate::native;
use crate::output::{say, warn};
use crate::pool::mutants;
use crate::setup::toolchain::{Choice, Toolchain};
use crate::{setup, std_tests};
use select::{MATRIX, Only, Stage, select};

/// The store's package.
const STORE: &str = "kvstore";
/// The program of the tests that boot images, all files of `tests/tests`, but for those of [`MATRIX`].
const GUEST_TESTS: &str = "guest";
/// The file of the tests that inject faults into the store as a process of the host.
const INJECTED: &str = "faults_native.rs";
/// How many images of power cuts the stage `pool` explores at least.
const CRASH_IMAGES: u64 = 110_000;

/// What a number of tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs the tests whose name, or the name of whose stage, contains `filter`, or all. Prints the totals as the last
/// line and returns the exit status: 0 if every test passed.
///
/// # Errors
/// When something is missing that cannot be installed from here, or cargo cannot be run.
pub fn test(filter: Option<&str>, processors: Option<u32>, choice: Choice) -> Result<u8> {
    let (stages, only) = select(filter);
    if processors.is_some() && !stages.contains(&Stage::Library) {
        bail!("--smp is for the stage std; the other tests choose their machines themselves");
    }
    let processors = processors.unwrap_or(std_tests::PROCESSORS);
    let toolchain = setup::ensure(choice, &setup::FOR_TESTS)?;
    let began = Instant::now();
    let mut totals = Totals::default();
    let mut broken = Vec::new();
    thread::scope(|scope| {
        let mut building = None;
        for &stage in &stages {
            say(format_args!("\n== {} ==", stage.name()));
            let stage_began = Instant::now();
            if stage == Stage::Native && stages.contains(&Stage::Guest) {
                // Its tests have one processor, in an emulator.
                say("the images that the stage guest boots are built meanwhile");
                building = Some(scope.spawn(|| images::build(&only, &toolchain)));
            }
            let (stage_totals, succeeded) = run(stage, &only, processors, &toolchain, &mut building)?;
            say(format_args!(
                "== {}: {} passed, {} failed in {:.1} s ==",
                stage.name(),
                stage_totals.passed,
                stage_totals.failed,
                stage_began.elapsed().as_secs_f64()
            ));
            if !succeeded {
                broken.push(format!("the stage {} failed", stage.name()));
            } else if matches!(only, Only::Usual | Only::All) && stage_totals == Totals::default() {
                broken.push(format!("the stage {} ran no test", stage.name()));
            }
            totals += stage_totals;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    if totals == Totals::default() && broken.is_empty() {
        broken.push(format!("no test's name contains `{}`", filter.unwrap_or_default()));
    }
    say(format_args!("\ntested in {:.1} s", began.elapsed().as_secs_f64()));
    for reason in &broken {
        say(format_args!("error: {reason}"));
    }
    say(format_args!("{} passed, {} failed", totals.passed, totals.failed));
    Ok(u8::from(totals.failed > 0 || !broken.is_empty()))
}

/// Images that are being built, and what tells tests where they are.
type Building<'scope> = ScopedJoinHandle<'scope, Result<Vec<(&'static str, PathBuf)>>>;

/// Runs one stage and says whether every command of it succeeded. Its images may be under way already.
fn run(
    stage: Stage,
    only: &Only<'_>,
    processors: u32,
    toolchain: &Toolchain,
    building: &mut Option<Building<'_>>,
) -> Result<(Totals, bool)> {
    let mut cargo = host_cargo("test");
    // One failing program does not keep the others from running.
    cargo.arg("--no-fail-fast");
    match stage {
        Stage::Host => {}
        Stage::Native => return run_native(only),
        Stage::Pool => return run_pool(cargo),
        Stage::Soak => run_long(&mut cargo, "soak", TEST_PROGRAMS, toolchain)?,
        Stage::Hostile => run_long(&mut cargo, "hostile", STORE, toolchain)?,
        Stage::Clients => {
            build_for_host(STORE, &[])?;
            cargo.env(CLIENTS_VARIABLE, clients::install());
            run_long(&mut cargo, "clients", STORE, toolchain)?;
        }
        Stage::Library => {
            let part = match only {
                Only::Named(name) => std_tests::Part::Named(name),
                Only::Usual => std_tests::Part::Std,
                Only::All | Only::Files(_) => std_tests::Part::All,
            };
            let totals = std_tests::run(toolchain, part, processors)?;
            return Ok((Totals { passed: totals.passed, failed: totals.failed }, totals.failed == 0));
        }
        Stage::Guest => {
            let built = match building.take() {
                Some(building) => building.join().unwrap_or_else(|_| Err(anyhow!("building the images panicked"))),
                None => images::build(only, toolchain),
            };
            let variables = match built {
                Ok(variables) => variables,
                Err(error) => {
                    warn(format_args!("error: {error:#}"));
                    return Ok((Totals::default(), false));
                }
            };
            if images::includes(only, INJECTED) {
                build_for_host(STORE, &[])?;
            }
            cargo.args(["--package", BOOTING_TESTS]).envs(variables);
        }
    }
    match only {
        Only::Usual | Only::All => {}
        Only::Files(names) => {
            let (matrix, files): (Vec<&String>, Vec<&String>) = names.iter().partition(|&name| name == MATRIX);
            if files.is_empty() {
                cargo.args(["--test", MATRIX]);
            } else {
                // The names of tests begin with those of their files.
                cargo.args(["--test", GUEST_TESTS, "--"]).args(files.iter().map(|name| format!("{name}::")));
            }
            if !files.is_empty() && !matrix.is_empty() {
                let (mut totals, succeeded) = show_and_count(cargo, |_| {})?;
                let (of_matrix, all) =
                    run(stage, &Only::Files(vec![MATRIX.to_owned()]), processors, toolchain, building)?;
                totals += of_matrix;
                return Ok((totals, succeeded && all));
            }
        }
        Only::Named(part) => drop(cargo.args(["--", part])),
    }
    show_and_count(cargo, |_| {})
}

/// Runs the tests under hardware keys. What keeps them from running is a failure of this stage alone.
fn run_native(only: &Only<'_>) -> Result<(Totals, bool)> {
    let name = match only {
        Only::Named(name) => Some(*name),
        Only::Usual | Only::All | Only::Files(_) => None,
    };
    let mut totals = Totals::default();
    // Copies of the sources, each built and booted for itself, are for who names the stage.
    let planted = matches!(only, Only::All);
    let succeeded = native::run(name, planted, |line| {
        say(line);
        if let Some(result) = parse_result(line) {
            totals += result;
        }
    });
    let mut succeeded = succeeded.unwrap_or_else(|error| {
        warn(format_args!("error: {error:#}"));
        false
    });
    if planted {
        let (injected, all) = run_injected()?;
        totals += injected;
        succeeded &= all;
    }
    Ok((totals, succeeded))
}

/// Runs the tests that inject faults into the store as a process, those too that need a processor with keys. Optimised,
/// for it may be an emulated one.
fn run_injected() -> Result<(Totals, bool)> {
    let quick = Profile::Quick.name();
    build_for_host(STORE, &["--profile", quick])?;
    let mut cargo = host_cargo("test");
    cargo.args(["--profile", quick, "--package", BOOTING_TESTS, "--test", GUEST_TESTS, "--"]);
    cargo.args([INJECTED.trim_end_matches(".rs"), "--include-ignored", "--test-threads=1"]);
    show_and_count(cargo, |_| {})
}

/// Has all tests of one file run, those too that are too long for every day, with the programs of this package.
fn run_long(cargo: &mut Command, file: &str, package: &str, toolchain: &Toolchain) -> Result<()> {
    cargo.envs(guest::build_for_tests(toolchain, &[package])?);
    // One load at a time, the short ones first; what they print is shown as it comes.
    cargo.args(["--package", BOOTING_TESTS, "--test", GUEST_TESTS, "--", &format!("{file}::")]);
    cargo.args(["--include-ignored", "--nocapture", "--test-threads=1"]);
    Ok(())
}

/// Builds a program for the host, which tests find beside them.
fn build_for_host(package: &str, options: &[&str]) -> Result<()> {
    let status = host_cargo("build").args(["--package", package]).args(options).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{package} did not build for the host (cargo's messages are above)");
    }
    Ok(())
}

/// Runs the stage `pool`: the tests of `pmem` with as many power cuts as they are trusted for, and the mutants. Where
/// some mutants are asked for by name, these alone.
fn run_pool(mut cargo: Command) -> Result<(Totals, bool)> {
    cargo.args(["--package", "pmem", "--profile=quick", "--lib", "--tests", "--", "--show-output", "--test-threads=1"]);
    cargo.env("HOLDFAST_CRASH_IMAGES", CRASH_IMAGES.to_string());
    let parts = std::env::var(mutants::PART_VARIABLE).unwrap_or_default();
    if !parts.is_empty() {
        let score = mutants::run(&parts)?;
        return Ok((Totals { passed: score.killed, failed: score.survived }, score.survived == 0));
    }
    let began = Instant::now();
    let mut images = 0;
    let (mut totals, succeeded) = show_and_count(cargo, |line| images += parse_images(line))?;
    let seconds = began.elapsed().as_secs_f64();
    say(format_args!("{images} crash images explored in {seconds:.0} s, {} tests failed", totals.failed));
    if !succeeded || images < CRASH_IMAGES {
        return Ok((totals, false));
    }
    say("");
    let score = mutants::run(&parts)?;
    totals += Totals { passed: score.killed, failed: score.survived };
    Ok((totals, score.survived == 0))
}

/// Reads the line that each test of power cuts prints: `crash images: 20372 of 24 lives (turns)`.
fn parse_images(line: &str) -> u64 {
    let number = line.strip_prefix("crash images: ").and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs `command`, shows what it prints as it comes, and to `look`, and adds up the results in it.
fn show_and_count(mut command: Command, mut look: impl FnMut(&str)) -> Result<(Totals, bool)> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            say(text.trim_end_matches('\n'));
            look(&text);
            if let Some(result) = parse_result(&text) {
                totals += result;
            }
            line.clear();
        }
    }
    Ok((totals, child.wait()?.success()))
}

/// Reads the line that every test program ends with: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
fn parse_result(line: &str) -> Option<Totals> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok());
    Some(Totals { passed: count("passed")?, failed: count("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_programs_are_read() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s\n";
        assert_eq!(parse_result(line), Some(Totals { passed: 12, failed: 0 }));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.23s";
        assert_eq!(parse_result(line), Some(Totals { passed: 1, failed: 2 }));
        // As libtest-mimic writes it, whose tests are cases of a table.
        let line = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.25s\n";
        assert_eq!(parse_result(line), Some(Totals { passed: 3, failed: 0 }));
    }

    #[test]
    fn numbers_of_power_cuts_are_read() {
        assert_eq!(parse_images("crash images: 20372 of 24 lives (turns)\n"), 20372);
        assert_eq!(parse_images("crash images: none\n") + parse_images("images: 3"), 0);
    }

    #[test]
    fn other_lines_are_no_results() {
        for line in [
            "",
            "test a::b ... ok",
            "test result: ok. many passed; 0 failed",
            "error: test result: ok. 1 passed; 0 failed;",
        ] {
            assert_eq!(parse_result(line), None, "{line}");
        }
    }

    #[test]
    fn output_is_counted_and_the_status_is_kept() {
        let mut command = Command::new("sh");
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'
            echo 'test result: FAILED. 1 passed; 3 failed; 0 ignored'
            exit 7";
        command.args(["-c", script]);
        assert_eq!(show_and_count(command, |_| {}).unwrap(), (Totals { passed: 3, failed: 3 }, false));
    }
}
