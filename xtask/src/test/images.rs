//! The images that the tests of the stage `guest` boot: programs as they are run, with debug assertions, for a
//! debugger, and with planted defects.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use super::Only;
use crate::cargo::TEST_PROGRAMS;
use crate::guest::{self, CHECKED_IMAGES_VARIABLE, DEBUGGER_IMAGES_VARIABLE, IMAGES_VARIABLE, Profile};
use crate::setup::toolchain::Toolchain;
use crate::{apps, crash, workspace};

/// The packages of which there is a build for a debugger too.
const DEBUGGED_PACKAGES: [&str; 1] = ["hello"];

/// Builds all that tests need, and returns the variables that tell them where it is.
///
/// The builds have nothing in common, and run at the same time: each compiles std for itself, crate after crate, which
/// leaves processors idle.
///
/// # Errors
/// When one does not build. The others are built to their end.
pub(super) fn build(only: &Only<'_>, toolchain: &Toolchain) -> Result<Vec<(&'static str, PathBuf)>> {
    type Build<'a> = (&'static str, Box<dyn FnOnce() -> Result<PathBuf> + Send + 'a>);
    let (packages, plants) = (apps::image_packages()?, plants(only)?);
    let mut builds: Vec<Build<'_>> = vec![
        (IMAGES_VARIABLE, Box::new(|| guest::build(toolchain, &packages, Profile::Release))),
        (CHECKED_IMAGES_VARIABLE, Box::new(|| guest::build(toolchain, &[TEST_PROGRAMS], Profile::Checked))),
    ];
    if includes(only, "debugger.rs") || includes(only, "xtask_run.rs") {
        let build = || guest::build(toolchain, &DEBUGGED_PACKAGES, Profile::Debugger);
        builds.push((DEBUGGER_IMAGES_VARIABLE, Box::new(build)));
    }
    if !plants.is_empty() {
        builds.push((crash::PLANTED_VARIABLE, Box::new(|| crash::build_plants(toolchain, &plants))));
    }
    thread::scope(|scope| {
        let builds: Vec<_> = builds.into_iter().map(|(variable, build)| (variable, scope.spawn(build))).collect();
        let built = builds.into_iter().map(|(variable, build)| Ok((variable, build.join().expect("no build panics")?)));
        built.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Whether tests of this file (`NAME.rs`, or `NAME/main.rs` of a folder) are among these.
fn includes(only: &Only<'_>, path: &str) -> bool {
    let name = path.split(['/', '.']).next().unwrap_or_default();
    match only {
        Only::Usual | Only::All => true,
        Only::Files(names) => names.iter().any(|only| only == name),
        Only::Named(part) => std::fs::read_to_string(workspace::root().join("tests/tests").join(path))
            .is_ok_and(|tests| tests.contains(part)),
    }
}

/// The planted defects that these tests look for.
fn plants(only: &Only<'_>) -> Result<Vec<crash::Plant>> {
    let mut plants = Vec::new();
    for (path, program) in [("crash_exploration.rs", "kvstore"), ("ledger/main.rs", "ledger")] {
        if includes(only, path) {
            plants.extend(crash::Plant::all(program)?);
        }
    }
    Ok(plants)
}
