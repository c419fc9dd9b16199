//! Builds guest images, std included: the programs in one cargo build, those of the tests in another.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::TEST_PROGRAMS;
use crate::setup::toolchain::Toolchain;
use crate::workspace;

/// The variable that tells the tests where the guest images are.
pub const IMAGES_VARIABLE: &str = "HOLDFAST_IMAGES";

/// The variable that tells the tests where the images of [`RELEASED`] are.
const RELEASE_IMAGES_VARIABLE: &str = "HOLDFAST_RELEASE_IMAGES";

/// The program that tests boot as it is put to work.
const RELEASED: &str = "kvstore";

/// The variable that tells the tests where the guest images of the checked build are.
pub const CHECKED_IMAGES_VARIABLE: &str = "HOLDFAST_CHECKED_IMAGES";

/// How guest programs are built: cargo's profiles of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// As `run` boots them.
    #[default]
    Quick,
    /// As they are put to work, by `run --release`: a tenth to a sixth fewer instructions, for a longer build.
    Release,
    /// With debug assertions: libos checks its own rules (lock order, sleeping and allocating in the wrong place). And
    /// with debug information for types and variables, as `run --gdb` boots them.
    Checked,
}

impl Profile {
    /// The profile's name, and that of the directory that its images are in.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Release => "release",
            Self::Checked => "checked",
        }
    }
}

/// Builds the guest programs of `packages` and returns the directory that their images are in, each under the name of
/// its binary. Cargo's own progress and errors are shown as they come; with nothing changed this takes a second.
///
/// # Errors
/// When cargo cannot be run or the build fails.
pub fn build(toolchain: &Toolchain, packages: &[impl AsRef<str>], profile: Profile) -> Result<PathBuf> {
    for together in builds(packages) {
        let packages = together.into_iter().flat_map(|package| ["--package", package]);
        build_with(toolchain, packages, profile)?;
    }
    Ok(workspace::guest_image_directory(profile.name()))
}

/// As [`build`], these programs of one package alone.
///
/// # Errors
/// As [`build`].
pub fn build_programs(toolchain: &Toolchain, package: &str, programs: &[&str], profile: Profile) -> Result<PathBuf> {
    let programs = programs.iter().flat_map(|&program| ["--bin", program]);
    build_with(toolchain, ["--package", package].into_iter().chain(programs), profile)?;
    Ok(workspace::guest_image_directory(profile.name()))
}

/// One command of cargo's, which is told by these arguments what to build.
fn build_with<'a>(toolchain: &Toolchain, what: impl Iterator<Item = &'a str>, profile: Profile) -> Result<()> {
    let mut command = toolchain.guest_cargo("build");
    command.args(["--profile", profile.name()]).args(what);
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("the guest did not build (cargo's messages are above)");
    }
    Ok(())
}

/// Builds the guest programs of `packages` for tests that boot them, and returns the variables that tell the tests
/// where they are.
///
/// # Errors
/// As [`build`].
pub fn build_for_tests(toolchain: &Toolchain, packages: &[impl AsRef<str>]) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut variables = vec![(IMAGES_VARIABLE, build(toolchain, packages, Profile::Quick)?)];
    if packages.iter().any(|package| package.as_ref() == RELEASED) {
        variables.push((RELEASE_IMAGES_VARIABLE, build(toolchain, &[RELEASED], Profile::Release)?));
    }
    Ok(variables)
}

/// The packages of `packages` that one command of cargo's may have, for each command: in one, a library has the
/// features that any package asks for, and the programs are not to have libos's `testing`, for which the tests' ask.
pub(crate) fn builds(packages: &[impl AsRef<str>]) -> Vec<Vec<&str>> {
    let packages = packages.iter().map(AsRef::as_ref);
    let (tests, programs): (Vec<_>, Vec<_>) = packages.partition(|&package| package == TEST_PROGRAMS);
    [programs, tests].into_iter().filter(|together| !together.is_empty()).collect()
}

/// Builds a guest program of a copy of this workspace, or of a part of it, as `run` would there, and returns its image.
/// All copies share one output directory, apart from this workspace's, whose std they begin with.
///
/// # Errors
/// As [`build`].
pub fn build_copy(toolchain: &Toolchain, copy: &Path, package: &str) -> Result<PathBuf> {
    let target = workspace::target_directory().join("planted/target");
    if !target.exists() {
        begin_with_own(&target)?;
    }
    let mut command = toolchain.guest_cargo_in("build", copy, &target);
    command.args(["--quiet", "--profile", Profile::Quick.name(), "--package", package]);
    // The copy may lie in the checkout, whose configuration cargo would add to one of the copy's own.
    command.env("CARGO_ENCODED_RUSTFLAGS", workspace::guest_rustflags()?.join("\u{1f}"));
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{package} did not build (cargo's messages are above)");
    }
    Ok(target.join(workspace::GUEST_TARGET).join(Profile::Quick.name()).join(package))
}

/// Gives a new output directory what this workspace's own build has made: std and other people's crates are the same,
/// down to their names. Cargo finds that the copy's own sources are younger, and builds those.
fn begin_with_own(target: &Path) -> Result<()> {
    let quick = Profile::Quick.name();
    for part in [PathBuf::from(quick), Path::new(workspace::GUEST_TARGET).join(quick)] {
        let (from, to) = (workspace::guest_target_directory().join(&part), target.join(&part));
        let Some(parent) = to.parent().filter(|_| from.exists()) else { continue };
        std::fs::create_dir_all(parent)?;
        // With their times, by which cargo tells what is old.
        let status = Command::new("cp").arg("--archive").args([&from, &to]).status().context("cannot run cp")?;
        if !status.success() {
            bail!("{} could not be copied to {}", from.display(), to.display());
        }
    }
    Ok(())
}

/// The image of the guest program `name`, for a test that boots it.
///
/// # Errors
/// When no variable names a directory with that image: the test was not started by `cargo xtask test`.
pub fn image(name: &str) -> Result<PathBuf> {
    image_of(name, if name == RELEASED { RELEASE_IMAGES_VARIABLE } else { IMAGES_VARIABLE })
}

/// The image of the guest program `name` as `run` boots it, for who looks for functions in it: a release has few of
/// them apart from each other.
///
/// # Errors
/// As [`image`].
pub fn quick_image(name: &str) -> Result<PathBuf> {
    image_of(name, IMAGES_VARIABLE)
}

/// The image of the checked build of the guest program `name`.
///
/// # Errors
/// As [`image`].
pub fn checked_image(name: &str) -> Result<PathBuf> {
    image_of(name, CHECKED_IMAGES_VARIABLE)
}

fn image_of(name: &str, variable: &str) -> Result<PathBuf> {
    let directory = std::env::var_os(variable).with_context(|| {
        format!(
            "{variable} is not set: run the tests that boot images by `cargo xtask test`, \
             which builds the images first"
        )
    })?;
    let image = PathBuf::from(directory).join(name);
    if !image.is_file() {
        bail!("there is no guest image {}: `cargo xtask test` builds them all", image.display());
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_programs_are_built_apart_from_all_others() {
        assert_eq!(builds(&["hello", TEST_PROGRAMS, "kvstore"]), [vec!["hello", "kvstore"], vec![TEST_PROGRAMS]]);
        assert_eq!(builds(&["kvstore"]), [["kvstore"]]);
        assert_eq!(builds(&[TEST_PROGRAMS]), [[TEST_PROGRAMS]]);
    }
}
