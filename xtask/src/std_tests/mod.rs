//! `cargo xtask test std`: Rust's own library tests, run in the guest.
//!
//! Tests that we did not write, of the very source that the guest's std is built from: what is under test is libos, and
//! what says how it has to behave is std. This room makes a workspace around the installed tests ([`tree`]), says which
//! of them there are and which cannot run ([`table`]), builds one image of each test program ([`programs`]), boots it
//! and judges what libtest says ([`session`], [`events`]).
//!
//! It never changes a test. What it adds to the installed files is in [`tree`], all of it.
//!
//! Panics unwind in these images (`libos/unwind`), so libtest is as it is on any other target: a test that panics fails
//! and the others go on, `#[should_panic]` and `catch_unwind` mean what they say. A test that takes the whole machine
//! with it is found by booting the rest without it.

mod events;
mod programs;
mod session;
mod table;
mod tree;

use std::time::Instant;

use anyhow::Result;

use crate::output::say;
use crate::setup::toolchain::Toolchain;
use programs::Program;
use session::{Tally, Verdict};
use table::Exclusion;

/// How many processors the machines have unless somebody says otherwise.
pub const PROCESSORS: u32 = 2;
/// How many failed tests of a program are run again, each alone, to see where they panic.
const LOOKED_INTO: usize = 5;

/// Which of the tests to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All.
    All,
    /// Those of std, which are the ones that libos can break, and not the far more of core and alloc.
    Std,
    /// The program of this name, or else the tests with this in their names.
    Named(&'a str),
}

/// What the tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that std itself does not run on this target.
    pub ignored: u64,
    /// Tests in the table of those that cannot run.
    pub excluded: u64,
}

/// Builds the test programs, boots each, and prints what they came to.
///
/// # Errors
/// When the toolchain's library source has no tests, or they do not build.
pub fn run(toolchain: &Toolchain, part: Part<'_>, processors: u32) -> Result<Totals> {
    let sources = tree::make(toolchain)?;
    let named = |name: &str| sources.iter().any(|source| source.name == name);
    let chosen: Vec<_> = match part {
        Part::All => sources.iter().collect(),
        Part::Std => sources.iter().filter(|source| source.of_std).collect(),
        Part::Named(name) if named(name) => sources.iter().filter(|source| source.name == name).collect(),
        Part::Named(_) => sources.iter().collect(),
    };
    let filter = match part {
        Part::Named(name) if !named(name) => Some(name),
        _ => None,
    };
    say(format_args!("the library tests of {}, {processors} processors", toolchain.description()));
    let mut totals = Totals::default();
    for program in programs::build(toolchain, &chosen)? {
        test(&program, filter, processors, &mut totals)?;
    }
    let Totals { passed, failed, ignored, excluded } = totals;
    say(format_args!("library tests: {passed} passed, {failed} failed, {ignored} ignored by std, {excluded} excluded"));
    Ok(totals)
}

/// Runs one program's tests, prints what they came to, and adds that to `totals`.
fn test(program: &Program, filter: Option<&str>, processors: u32, totals: &mut Totals) -> Result<()> {
    let began = Instant::now();
    let excluded = table::exclusions(&program.name);
    let skipped: Vec<&str> = excluded.iter().map(|exclusion| exclusion.test).collect();
    let tally = session::run(&skipped, filter, |arguments| program.boot(processors, arguments, &[]))?;
    let Tally { results, filtered_out } = tally;
    let excluded: &[Exclusion] = if filter.is_some() { &[] } else { &excluded };
    let of = |wanted: fn(&Verdict) -> bool| results.values().filter(|&verdict| wanted(verdict)).count() as u64;
    let this = Totals {
        passed: of(|verdict| *verdict == Verdict::Passed),
        failed: of(|verdict| matches!(verdict, Verdict::Failed(_))),
        ignored: of(|verdict| matches!(verdict, Verdict::Ignored(_))),
        excluded: excluded.len() as u64,
    };
    if filter.is_some() && results.is_empty() {
        return Ok(());
    }
    say(format_args!(
        "{}: {} passed, {} failed, {} ignored, {} excluded in {:.1} s",
        program.name,
        this.passed,
        this.failed,
        this.ignored,
        this.excluded,
        began.elapsed().as_secs_f64()
    ));
    for (name, verdict) in &results {
        if let Verdict::Ignored(why) = verdict {
            say(format_args!("  ignored by std: {name}{}{why}", if why.is_empty() { "" } else { ": " }));
        }
    }
    for exclusion in excluded {
        say(format_args!("  excluded: {}: {}", exclusion.test, exclusion.reason.text()));
    }
    if filtered_out.is_some_and(|count| filter.is_none() && count != excluded.len() as u64) {
        say("  note: the table of exclusions names tests that this toolchain's library does not have");
    }
    let failed = results.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Failed(said) => Some((name, said)),
        _ => None,
    });
    for (index, (name, said)) in failed.enumerate() {
        say(format_args!("  FAILED {}::{name}", program.name));
        said.lines().for_each(|line| say(format_args!("    {line}")));
        if index < LOOKED_INTO {
            look_into(program, name, processors)?;
        }
    }
    totals.passed += this.passed;
    totals.failed += this.failed;
    totals.ignored += this.ignored;
    totals.excluded += this.excluded;
    Ok(())
}

/// Runs a failed test alone, with what it prints and where it panics.
fn look_into(program: &Program, name: &str, processors: u32) -> Result<()> {
    let arguments = [session::alone(name), vec!["--nocapture".to_owned()]].concat();
    let boot = program.boot(processors, &arguments, &[("RUST_BACKTRACE", "1")])?;
    say("    run again, alone:");
    boot.noise.iter().flat_map(|line| line.split('\n')).for_each(|line| say(format_args!("      {line}")));
    say(format_args!("      {}", boot.end));
    Ok(())
}
