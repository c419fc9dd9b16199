//! The images that the tests of the stage `guest` boot: programs as they are run, with debug assertions, and with
//! planted defects.

use std::path::PathBuf;

use anyhow::Result;

use super::select::Only;
use crate::cargo::TEST_PROGRAMS;
use crate::guest::{self, CHECKED_IMAGES_VARIABLE, Profile};
use crate::setup::toolchain::Toolchain;
use crate::{apps, crash, workspace};

/// The tests' programs of which there is a checked build too.
const CHECKED_PROGRAMS: [&str; 7] = ["cpus", "files", "grants", "rules", "servers", "sockets", "std_suite"];
/// The package that is looked into with a debugger, which boots its checked build.
const DEBUGGED: &str = "hello";

/// Builds all that tests need, and returns the variables that tell them where it is.
///
/// # Errors
/// When one does not build.
pub(super) fn build(only: &Only<'_>, toolchain: &Toolchain) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut images = guest::build_for_tests(toolchain, &apps::image_packages()?)?;
    let checked = guest::build_programs(toolchain, TEST_PROGRAMS, &CHECKED_PROGRAMS, Profile::Checked)?;
    images.push((CHECKED_IMAGES_VARIABLE, checked));
    let plants = plants(only)?;
    if !plants.is_empty() {
        images.push((crash::PLANTED_VARIABLE, crash::build_plants(toolchain, &plants)?));
    }
    if includes(only, "debugger.rs") || includes(only, "xtask_run.rs") {
        guest::build(toolchain, &[DEBUGGED], Profile::Checked)?;
    }
    Ok(images)
}

/// Whether tests of this file (`NAME.rs`, or `NAME/mod.rs` of a folder) are among these.
pub(super) fn includes(only: &Only<'_>, path: &str) -> bool {
    let name = path.split(['/', '.']).next().unwrap_or_default();
    match only {
        Only::Usual | Only::All => true,
        Only::Files(names) => names.iter().any(|only| only == name),
        Only::Named(part) => {
            let text = std::fs::read_to_string(workspace::root().join("tests/tests").join(path)).unwrap_or_default();
            name.contains(part) || text.contains(part.rsplit("::").next().unwrap_or(part))
        }
    }
}

/// The planted defects that these tests look for.
fn plants(only: &Only<'_>) -> Result<Vec<crash::Plant>> {
    let mut plants = Vec::new();
    for (path, program) in [("crash_exploration.rs", "kvstore"), ("ledger/mod.rs", "ledger")] {
        if includes(only, path) {
            plants.extend(crash::Plant::all(program)?);
        }
    }
    Ok(plants)
}
