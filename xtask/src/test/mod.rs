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

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::{BOOTING_TESTS, TEST_PROGRAMS, host_cargo};
use crate::clients::{self, CLIENTS_VARIABLE};
use crate::guest::{self, Profile};
use crate::native;
use crate::output::{say, warn};
use crate::pool::mutants;
use crate::setup::toolchain::{Choice, Toolchain};
use crate::{setup, std_tests, workspace};

/// The store's package.
const STORE: &str = "kvstore";
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

/// One part of the whole, which a filter can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Host,
    Guest,
    Native,
    Library,
    Pool,
    Soak,
    Hostile,
    Clients,
}

impl Stage {
    /// Those that run when none is named.
    const USUAL: [Self; 4] = [Self::Host, Self::Native, Self::Guest, Self::Library];
    /// Those with tests of our own, which a name selects.
    const OWN: [Self; 2] = [Self::Host, Self::Guest];
    const ALL: [Self; 8] =
        [Self::Host, Self::Native, Self::Guest, Self::Library, Self::Pool, Self::Soak, Self::Hostile, Self::Clients];

    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
            Self::Native => "native",
            Self::Library => "std",
            Self::Pool => "pool",
            Self::Soak => "soak",
            Self::Hostile => "hostile",
            Self::Clients => "clients",
        }
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
    for stage in stages {
        say(format_args!("\n== {} ==", stage.name()));
        let stage_began = Instant::now();
        let (stage_totals, succeeded) = run(stage, &only, processors, &toolchain)?;
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

/// Which of a stage's tests to run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Only<'a> {
    /// Those that run when nobody says which.
    Usual,
    /// All of them.
    All,
    /// Those in the files with these names under `tests/tests`.
    Files(Vec<String>),
    /// Those with this in their names.
    Named(&'a str),
}

/// The stages to run, and which tests in them. A filter that names a stage selects all of it; one that names a file of
/// booting tests selects that file, and those whose names go on after it with an underscore. `std::` and a name selects
/// library tests, `native::` and a name those under hardware keys.
fn select(filter: Option<&str>) -> (Vec<Stage>, Only<'_>) {
    let Some(filter) = filter else { return (Stage::USUAL.to_vec(), Only::Usual) };
    let mut named: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| stage.name().contains(filter)).collect();
    // `host` names one stage, not `hostile` too.
    if let Some(&exact) = named.iter().find(|stage| stage.name() == filter) {
        named = vec![exact];
    }
    if !named.is_empty() {
        return (named, Only::All);
    }
    if let Some(part) = filter.strip_prefix("std::") {
        return (vec![Stage::Library], Only::Named(part));
    }
    if let Some(part) = filter.strip_prefix("native::") {
        return (vec![Stage::Native], Only::Named(part));
    }
    let files = files_of_tests(filter);
    if files.is_empty() { (Stage::OWN.to_vec(), Only::Named(filter)) } else { (vec![Stage::Guest], Only::Files(files)) }
}

/// The files and folders under `tests/tests` that a filter names, in order: one of its name, and with it those whose
/// names go on after an underscore.
fn files_of_tests(filter: &str) -> Vec<String> {
    // Who cannot read the directory finds no test by its file, and is told so.
    let entries = std::fs::read_dir(workspace::root().join("tests/tests")).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .filter(|entry| entry.path().is_dir() || entry.path().extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|entry| entry.path().file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name.strip_prefix(filter).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
        .collect();
    files.sort();
    if files.first().is_none_or(|first| first != filter) {
        files.clear();
    }
    files
}

/// Runs one stage and says whether every command of it succeeded.
fn run(stage: Stage, only: &Only<'_>, processors: u32, toolchain: &Toolchain) -> Result<(Totals, bool)> {
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
            let variables = match images::build(only, toolchain) {
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
            for name in names {
                cargo.args(["--test", name]);
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
    cargo.args(["--profile", quick, "--package", BOOTING_TESTS, "--test", INJECTED.trim_end_matches(".rs"), "--"]);
    cargo.args(["--include-ignored", "--test-threads=1"]);
    show_and_count(cargo, |_| {})
}

/// Has all tests of one file run, those too that are too long for every day, with the programs of this package.
fn run_long(cargo: &mut Command, file: &str, package: &str, toolchain: &Toolchain) -> Result<()> {
    cargo.envs(guest::build_for_tests(toolchain, &[package])?);
    // One load at a time, the short ones first; what they print is shown as it comes.
    cargo.args(["--package", BOOTING_TESTS, "--test", file, "--"]);
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
    fn a_filter_names_stages_files_or_tests() {
        let usual = vec![Stage::Host, Stage::Native, Stage::Guest, Stage::Library];
        assert_eq!(select(None), (usual, Only::Usual));
        assert_eq!(select(Some("host")), (vec![Stage::Host], Only::All));
        assert_eq!(select(Some("guest")), (vec![Stage::Guest], Only::All));
        assert_eq!(select(Some("pool")), (vec![Stage::Pool], Only::All));
        assert_eq!(select(Some("soak")), (vec![Stage::Soak], Only::All));
        assert_eq!(select(Some("hostile")), (vec![Stage::Hostile], Only::All));
        assert_eq!(select(Some("clients")), (vec![Stage::Clients], Only::All));
        let files = |names: &[&str]| Only::Files(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(select(Some("protection")), (vec![Stage::Guest], files(&["protection", "protection_matrix"])));
        assert_eq!(select(Some("protection_matrix")), (vec![Stage::Guest], files(&["protection_matrix"])));
        assert_eq!(select(Some("std")), (vec![Stage::Library], Only::All));
        assert_eq!(select(Some("std::net")), (vec![Stage::Library], Only::Named("net")));
        assert_eq!(select(Some("native")), (vec![Stage::Native], Only::All));
        assert_eq!(select(Some("native::key")), (vec![Stage::Native], Only::Named("key")));
        assert_eq!(select(Some("protect")), (vec![Stage::Host, Stage::Guest], Only::Named("protect")));
        assert_eq!(select(Some("stray")), (vec![Stage::Host, Stage::Guest], Only::Named("stray")));
        assert_eq!(select(Some("../x")), (vec![Stage::Host, Stage::Guest], Only::Named("../x")));
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
