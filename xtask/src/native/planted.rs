//! The native devices with one planted defect each, which the test that the defect's patch names must find.
//!
//! A copy of the sources has one after the other put in, and the program of the test built. All the programs meet
//! their tests in one go, where there are keys and, for what is durable, NVDIMMs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Program, build_in};
use crate::defects::{self, Defect};
use crate::output::say;
use crate::workspace;

/// Where the patches are, from the workspace's root.
const FOLDER: &str = "pmem/linux/tests/planted";
/// What of the workspace is copied.
const MEMBERS: [&str; 1] = ["pmem/linux"];
/// How a program of tests ends of which one fails: 101 is cargo's word for it.
const FAILED: &str = "101";

/// Builds a program for each defect that is `looked_for`, lets `run` run them, which hands on what they print, and says
/// which defects were found. Returns whether all were.
///
/// # Errors
/// When a defect does not fit the sources any more, a copy does not build, or the programs cannot be run.
pub(super) fn run(
    looked_for: impl FnMut(&Defect) -> bool,
    run: impl FnOnce(&[Program], &mut dyn FnMut(&str)) -> Result<()>,
) -> Result<bool> {
    let mut defects = Defect::all(&workspace::root().join(FOLDER))?;
    defects.retain(looked_for);
    let directory = workspace::target_directory().join("native-planted");
    let sources = defects::sources(&MEMBERS)?;
    let programs = defects.iter().map(|defect| build(defect, &sources, &directory)).collect::<Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    run(&programs, &mut |line| lines.push(line.to_owned()))?;
    let mut all = true;
    for defect in &defects {
        let found = is_found(defect, &lines);
        all &= found;
        let fate = if found { "found" } else { "NOT FOUND" };
        say(format_args!("{:74} {fate}: {}: {}", defect.breaks, defect.program, defect.test));
    }
    if !all {
        lines.iter().for_each(say);
    }
    Ok(all)
}

/// Builds the program of a defect's test with the defect, to run that test. It has the defect's name.
fn build(defect: &Defect, sources: &[(PathBuf, String)], directory: &Path) -> Result<Program> {
    let copy = directory.join("sources");
    defects::copy(sources, &copy)?;
    defect.put_into(&copy)?;
    let arguments = ["--offline", "--package", "pmem-linux", "--test", &defect.program];
    // A target directory of its own: to cargo the copy is the same package.
    let built = build_in(&copy, &directory.join("target"), &arguments);
    let built = built.with_context(|| format!("the planted defect {}", defect.name))?;
    let path = directory.join(&defect.name);
    fs::copy(built.first().context("cargo named no test program")?, &path)?;
    Ok(Program { path, arguments: vec!["--exact".into(), defect.test.clone()], others: vec![] })
}

/// Whether the test failed, by what the programs printed.
fn is_found(defect: &Defect, lines: &[String]) -> bool {
    let end = format!("{} failed: ", defect.name);
    lines.iter().any(|line| line.strip_prefix(&end).is_some_and(|how| how.ends_with(FAILED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_found_if_its_own_program_has_a_test_that_fails() {
        let [first, second] = &Defect::all(&workspace::root().join(FOLDER)).unwrap()[..2] else { unreachable!() };
        let failed = |how: &str| vec!["test a ... FAILED".to_owned(), format!("{} failed: {how}", first.name)];
        for how in ["exit status 101", "exit status: 101"] {
            assert!(is_found(first, &failed(how)));
            assert!(!is_found(second, &failed(how)));
        }
        // It could not be started, or was killed.
        for how in ["exit status 127", "signal: 9 (SIGKILL)"] {
            assert!(!is_found(first, &failed(how)));
        }
    }
}
